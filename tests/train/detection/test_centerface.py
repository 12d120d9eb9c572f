from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.train.build import Killed
from train.data.sources import entries
from train.detection import boxes

for each in ("onnx", "onnxruntime"):
    pytest.importorskip(each, reason=f"{each} is not installed (extra teachers)")

from train.detection.centerface import CenterFace, detect, read


def spotted(side: tuple[int, int], x: int, y: int, light: int = 255) -> np.ndarray:
    """A black photograph of some height and width with a red spot of 4 x 4 pixels."""
    photo = np.zeros((*side, 3), np.uint8)
    photo[y : y + 4, x : x + 4, 0] = light
    return photo


@pytest.fixture
def detector(published: Path) -> CenterFace:
    return CenterFace(published / "centerface.onnx")


def test_each_face_is_read_once_and_the_surest_first() -> None:
    heat = np.zeros((1, 1, 20, 30), np.float32)
    heat[0, 0, 5, 7], heat[0, 0, 5, 8], heat[0, 0, 15, 20] = 0.6, 0.5, 0.9
    sizes = np.log(np.full((1, 2, 20, 30), 5, np.float32))
    sizes[0, 0] = np.log(10)  # 40 pixels high, 20 wide
    offsets = np.zeros((1, 2, 20, 30), np.float32)
    offsets[0, 1] = 0.25
    landmarks = np.zeros((1, 10, 20, 30), np.float32)
    landmarks[0, :2] = np.array([0.5, 0.25])[:, None, None]  # y, x of the first
    scores, places = read(heat, sizes, offsets, landmarks)
    assert scores.tolist() == pytest.approx([0.9, 0.6])
    x, y = 4 * 20.75, 4 * 15.5
    assert places[0, :6].tolist() == pytest.approx([x - 10, y - 20, 20, 40, x - 5, y], abs=0.01)
    nothing = read(0 * heat, sizes, offsets, landmarks)
    assert [len(each) for each in nothing] == [0, 0]


@pytest.mark.parametrize(
    ("side", "x", "y"), [((100, 160), 80, 40), ((300, 200), 0, 296)], ids=["whole", "at the edge"]
)
def test_a_detector_answers_in_pixels_of_the_photograph(
    side: tuple[int, int], x: int, y: int, detector: CenterFace
) -> None:
    (face,) = detector.faces(spotted(side, x, y))
    box = face.box
    assert face.score == pytest.approx(1, abs=0.01)
    assert (box.x, box.y) == pytest.approx((x + 2 - 16, y + 2 - 16))
    assert (box.width, box.height) == pytest.approx((32, 32))
    assert face.landmarks[:2] == pytest.approx((box.x + 0.3 * 32, box.y + 0.4 * 32))


def test_a_large_photograph_is_looked_at_small(detector: CenterFace) -> None:
    photo = np.asarray(Image.fromarray(spotted((256, 512), 200, 100)).resize((1024, 512), 0))
    (face,) = detector.faces(photo)
    assert face.box.width == pytest.approx(64)
    assert face.box.x + 32 == pytest.approx(404, abs=3)


def test_where_no_face_is_sure_it_looks_again_from_farther_away(detector: CenterFace) -> None:
    dark = spotted((427, 427), 40, 80, light=100)
    (face,) = detector.faces(dark)
    # At the second look a border of 107 pixels moves the spot off the grid of cells.
    assert 0.2 < face.score < 0.5
    assert (face.box.x + 16, face.box.y + 16) == pytest.approx((42, 82), abs=4)
    assert detector.faces(np.zeros((50, 40, 3), np.uint8)) == []


def photographs(folder: Path, count: int) -> Path:
    for label in ("female", "male"):
        (folder / label).mkdir(parents=True)
        for number in range(count):
            photo = Image.fromarray(spotted((96, 128), 4 * number, 40))
            photo.save(folder / label / f"{number}.png")
    return folder


def test_a_stopped_detection_looks_at_each_photograph_once(
    detector: CenterFace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = photographs(tmp_path / "data", 4)
    (data / "male/bad.png").write_bytes(b"no picture")
    Image.new("RGB", (60, 60)).save(data / "male/empty.png")
    listed = entries([data])
    asked: list[int] = []

    class Counted(CenterFace):
        def faces(self, photo):
            if len(asked) == 5:
                raise Killed
            asked.append(1)
            return super().faces(photo)

    counted = Counted.__new__(Counted)
    counted._session = detector._session
    file = tmp_path / "out/faces.csv"
    with pytest.raises(Killed):
        detect(listed, file, counted)
    asked.clear()
    assert detect(listed, file, counted) == 8
    assert len(asked) == 4
    found = boxes.read(file)
    assert found["male/bad.png"] == found["male/empty.png"] == []
    assert found["male/2.png"][0].box.x == pytest.approx(2 * 4 + 2 - 16, abs=0.1)
