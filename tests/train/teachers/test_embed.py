from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gdwatch.inference.faces import MOST_FACES
from gdwatch.values import Box

for each in ("onnx", "onnxruntime"):
    pytest.importorskip(each, reason=f"{each} is not installed (extra teachers)")

from train.data.sources import Entry, entries
from train.detection.boxes import Face
from train.teachers.embed import Embedded, embed


class Colours:
    """Networks that know the mean colour of a face, and where it is."""

    face, size = 3, 5

    def __init__(self, digest: str) -> None:
        self.digest, self.asked = digest, 0

    def embed(self, seen):
        self.asked += len(seen)
        return np.array(
            [(*photo.mean((0, 1)), face.box.x, face.box.width) for photo, face in seen], np.float32
        )


def face(x: float, *, score: float = 0.9, size: float = 15) -> Face:
    return Face(Box(x, 2, size, size), score, (5.0,) * 10)


@pytest.fixture
def listed(tmp_path: Path) -> list[Entry]:
    """Photographs of people with a class, of people without one, of nobody, and of nothing."""
    labels = ("female", "male", "unknown", "none", "male")
    for number in range(len(labels)):
        Image.new("RGB", (40, 30), (40 * number,) * 3).save(tmp_path / f"{number}.png")
    (tmp_path / "4.png").write_bytes(b"no photograph")
    lines = [f"{number}.png,{label}" for number, label in enumerate(labels)]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label", *lines]))
    return entries([tmp_path])


@pytest.fixture
def faces(listed: list[Entry]) -> dict[str, list[Face]]:
    return {entry.path: [face(20), face(14)] for entry in listed}


def run(
    listed: Sequence[Entry], faces: Mapping[str, Sequence[Face]], networks: Colours, folder: Path
) -> Embedded:
    return embed(listed, faces, networks, folder)  # type: ignore[arg-type]


def test_every_face_of_people_is_embedded_the_most_prominent_one_first(
    listed: list[Entry], faces: dict[str, list[Face]], tmp_path: Path
) -> None:
    got = run(listed, faces, Colours("a"), tmp_path / "kept")
    wanted = [(f"{number}.png", x) for number in range(3) for x in (14.0, 20.0)]
    assert [(seen.path, seen.face.box.x) for seen in got.seen] == wanted
    assert [seen.main for seen in got.seen] == [True, False] * 3
    assert got.face[:, 0].tolist() == [0, 0, 40, 40, 80, 80]
    assert got.surroundings.tolist() == [[14, 15], [20, 15]] * 3
    assert {seen.size for seen in got.seen} == {15.0}


def test_doubtful_faces_count_only_where_no_other_is(listed: list[Entry], tmp_path: Path) -> None:
    doubtful, unmarked = face(12, score=0.3), replace(face(13), landmarks=())
    crowd = [face(float(x)) for x in range(9)]
    faces = {"0.png": [doubtful, face(20), unmarked], "1.png": [face(2, score=0.2), doubtful],
             "2.png": crowd}  # fmt: skip
    got = run(listed, faces, Colours("a"), tmp_path / "kept")
    at = [(seen.path, seen.face.box.x) for seen in got.seen]
    assert at[:2] == [("0.png", 20), ("1.png", 12)]
    assert [path for path, _ in at[2:]] == ["2.png"] * MOST_FACES


def test_what_was_embedded_is_kept_for_the_same_faces_and_networks(
    listed: list[Entry], faces: dict[str, list[Face]], tmp_path: Path
) -> None:
    networks, folder = Colours("a"), tmp_path / "kept"
    first = run(listed, faces, networks, folder)
    again = run(listed, faces, networks, folder)
    assert networks.asked == 6
    assert again.seen == first.seen
    assert np.array_equal(again.surroundings, first.surroundings)
    for changed, of in ((Colours("b"), faces), (Colours("a"), faces | {"0.png": [face(3)]})):
        run(listed, of, changed, folder)
        assert changed.asked == sum(len(of[f"{number}.png"]) for number in range(3))
    (file,) = folder.iterdir()
    for content in (b"", b"cut short", file.read_bytes()[:300]):
        file.write_bytes(content)
        assert run(listed, faces, Colours("a"), folder).seen == first.seen


def test_without_faces_there_is_nothing(listed: list[Entry], tmp_path: Path) -> None:
    got = run(listed, {}, Colours("a"), tmp_path / "kept")
    assert got.seen == []
    assert got.face.shape == (0, 3)
