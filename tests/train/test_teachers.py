"""Public networks as teachers: the detector, the embeddings, and what is learnt from them."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gdwatch.errors import GdwatchError
from gdwatch.values import Box
from train.data import prepared_set
from train.data.prepared_set import Prepared
from train.data.sources import entries
from train.detection import boxes
from train.detection.boxes import Face
from train.fitting.recipe import Recipe
from train.published import weights
from train.teachers.teach import teach

from .test_export import write_rows

for each in ("onnx", "onnxruntime"):
    pytest.importorskip(each, reason=f"{each} is not installed (extra teachers)")

from tests.train import standins
from train.detection.centerface import CenterFace, detect, read
from train.teachers.embed import PARTS, Networks, align, embeddings

# Where published weights lie that no package of Python's holds.
FOLDERS = [Path(folder) for folder in os.environ.get("GDTRAIN_WEIGHTS", "").split(":") if folder]


def missing() -> list[str]:
    """Which of the published weights are not on this machine."""
    gone = []
    for each in (weights.CENTERFACE, weights.FEATURE, weights.DLIB, weights.GENDER):
        try:
            weights.find(each, FOLDERS)
        except GdwatchError:
            gone.append(each.file)
    return gone


def spotted(side: tuple[int, int], x: int, y: int, light: int = 255) -> np.ndarray:
    """A black photograph of some height and width with a red spot of 4 x 4 pixels."""
    photo = np.zeros((*side, 3), np.uint8)
    photo[y : y + 4, x : x + 4, 0] = light
    return photo


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("standins") / "weights"
    standins.write_all(folder)
    return folder


@pytest.fixture
def detector(published: Path) -> CenterFace:
    return CenterFace(published / "centerface.onnx")


def test_weights_are_found_in_a_named_folder_and_in_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "site" / "published_faces" / "models"
    inside.mkdir(parents=True)
    (inside.parent / "__init__.py").write_text("raise RuntimeError('its code must not run')")
    (inside / "net.onnx").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    wanted = weights.Weights("net.onnx", "published_faces", "models", "pip install it")
    assert weights.find(wanted, []) == inside / "net.onnx"
    (tmp_path / "net.onnx").touch()
    assert weights.find(wanted, [tmp_path / "none", tmp_path]) == tmp_path / "net.onnx"
    gone = replace(wanted, package="no_such_package")
    with pytest.raises(GdwatchError, match=r"net\.onnx: not on this machine; pip install it; or"):
        weights.find(gone, [tmp_path / "none"])


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


class Killed(Exception):  # noqa: N818 - not an error
    """Stands for whatever ends a process."""


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


def test_a_file_that_is_no_network_is_named(tmp_path: Path, published: Path) -> None:
    for content in (b"", b"no network", (published / "centerface.onnx").read_bytes()[:300]):
        (tmp_path / "centerface.onnx").write_bytes(content)
        with pytest.raises(GdwatchError, match=r"centerface\.onnx: (no network of ONNX|has )"):
            CenterFace(tmp_path / "centerface.onnx")
    with pytest.raises(GdwatchError, match=r"has images, probabilities and not input\.1"):
        CenterFace(published / "gender-v1.onnx")


@pytest.mark.parametrize("size", [0.7, 1.0, 6.0])
def test_an_aligned_face_has_its_landmarks_where_the_template_has_them(size: float) -> None:
    template = np.array([0.3 + 0.4j, 0.7 + 0.4j, 0.5 + 0.6j, 0.35 + 0.8j, 0.65 + 0.8j])
    turn = size * np.exp(0.5j)
    marks = 400 + 300j + turn * 100 * (template - template.mean())
    rows, columns = np.mgrid[0:600, 0:800]
    photo = np.zeros((600, 800, 3), np.uint8)
    for mark in marks:
        near = np.hypot(columns + 0.5 - mark.real, rows + 0.5 - mark.imag) < 5 * size
        photo[near] = 255
    face = Face(Box(0, 0, 1, 1), 1.0, tuple(np.stack((marks.real, marks.imag), 1).ravel()))
    square = align(photo, face, template, 100).astype(float).mean(2)
    for wanted in template:
        x, y = round(wanted.real * 100), round(wanted.imag * 100)
        part = square[y - 9 : y + 10, x - 9 : x + 10]
        down, across = (part * np.mgrid[-9:10, -9:10]).sum((1, 2)) / part.sum() + 0.5
        assert abs(down) < 1
        assert abs(across) < 1


class Colours:
    """Networks that know the mean colour of a face alone."""

    size = 3

    def __init__(self, digest: str) -> None:
        self.digest, self.asked = digest, 0

    def embed(self, seen):
        self.asked += len(seen)
        return np.array([photo.mean((0, 1)) for photo, _ in seen], np.float32)


def test_embeddings_are_computed_once(prepared: Prepared) -> None:
    data = next(prepared.folder.parent.glob("*/female")).parent
    listed = entries([data])
    marked = Face(Box(2, 2, 15, 15), 0.9, (5.0,) * 10)
    found = {entry.path: [marked] for entry in listed[1:]}
    networks = Colours("a")
    first = embeddings(listed, prepared, found, networks)
    assert networks.asked == len(listed) - 1
    assert np.isnan(first).any(1).sum() == 1
    assert np.array_equal(embeddings(listed, prepared, found, networks), first, equal_nan=True)
    assert networks.asked == len(listed) - 1
    (prepared.folder / PARTS / "000000.npz").write_bytes(b"cut short")
    other = Colours("b")
    assert np.array_equal(embeddings(listed, prepared, found, other), first, equal_nan=True)
    found[listed[0].path] = [marked]
    assert not np.isnan(embeddings(listed, prepared, found, Colours("b"))).any()


@pytest.fixture
def wanted(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"without": ["new"]})


def test_a_teacher_learns_what_the_embeddings_tell(prepared: Prepared, wanted: Recipe) -> None:
    dice = np.random.default_rng(0)
    embedded = dice.normal(size=(len(prepared.rows), 40)).astype(np.float32)
    embedded[:, :9] += np.where(prepared.is_male(), 1.5, -1.5)[:, None]
    embedded[3] = np.nan
    taught = teach(prepared, embedded, wanted)
    assert taught.balanced > 0.9
    assert prepared.rows[3].path not in taught.p_male
    assert len(taught.p_male) == len(prepared.rows) - 1
    right = [(taught.p_male[row.path] > 0.5) == (row.label == "male")
             for row in prepared.rows if row.path in taught.p_male]  # fmt: skip
    assert np.mean(right) > 0.9


def test_a_teacher_never_answers_for_a_person_that_it_has_learnt(
    prepared: Prepared, wanted: Recipe
) -> None:
    # The embedding tells the person and nothing else, so in fold all would be right.
    people = [f"person {number // 4}" for number in range(len(prepared.rows))]
    rows = [replace(row, identity=one) for row, one in zip(prepared.rows, people, strict=True)]
    write_rows(prepared, rows)
    again = prepared_set.load(prepared.folder)
    directions = np.random.default_rng(0).normal(size=(len(rows), 60))
    embedded = np.array([directions[number // 4] for number in range(len(rows))], np.float32)
    taught = teach(again, embedded, wanted)
    learnt = again.select("train", 0).tolist()
    right = [(taught.p_male[rows[row].path] > 0.5) == (rows[row].label == "male") for row in learnt]
    assert 0.2 < np.mean(right) < 0.8


def test_what_is_kept_out_teaches_nothing(prepared: Prepared, wanted: Recipe) -> None:
    dice = np.random.default_rng(0)
    embedded = dice.normal(size=(len(prepared.rows), 20)).astype(np.float32)
    rows = [replace(row, source="new") if number % 4 == 0 else row
            for number, row in enumerate(prepared.rows)]  # fmt: skip
    other = {"female": "male", "male": "female"}
    swapped = [replace(row, label=other[row.label])
               if row.source == "new" or row.split != "train" else row for row in rows]  # fmt: skip
    said = []
    for each in (rows, swapped):
        write_rows(prepared, each)
        said.append(teach(prepared_set.load(prepared.folder), embedded, wanted).p_male)
    assert said[0] == said[1]


def test_too_few_faces_are_an_error(prepared: Prepared, wanted: Recipe) -> None:
    embedded = np.full((len(prepared.rows), 4), np.nan, np.float32)
    embedded[:3] = 1
    with pytest.raises(GdwatchError, match="too few different faces of one class"):
        teach(prepared, embedded, wanted)


@pytest.mark.skipif(
    bool(missing()), reason=f"not on this machine, nor in GDTRAIN_WEIGHTS: {', '.join(missing())}"
)
def test_the_published_networks_see_what_a_person_sees() -> None:
    from matplotlib import cbook
    from skimage import data

    detector = CenterFace(weights.find(weights.CENTERFACE, FOLDERS))
    networks = Networks(*(weights.find(each, FOLDERS)
                          for each in (weights.FEATURE, weights.DLIB, weights.GENDER)))  # fmt: skip
    with cbook.get_sample_data("grace_hopper.jpg") as stream:
        hopper = np.asarray(Image.open(stream).convert("RGB"))
    women = [hopper, data.astronaut()]
    seen = [(photo, detector.faces(photo)[0]) for photo in women]
    for (photo, face), (x, y) in zip(seen, [(260, 180), (222, 115)], strict=True):
        assert face.score > 0.7
        assert face.box.x < x < face.box.x + face.box.width, photo.shape
        assert face.box.y < y < face.box.y + face.box.height, photo.shape
    embedded = networks.embed(seen)
    assert embedded.shape == (2, Networks.size)
    assert embedded[1, -1] < -2  # about the other, in hat and uniform, it is wrong
