import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gdwatch.errors import GdwatchError
from gdwatch.values import Box
from train.data.prepared_set import Prepared
from train.data.sources import entries
from train.detection.boxes import Face
from train.published import weights

for each in ("onnx", "onnxruntime"):
    pytest.importorskip(each, reason=f"{each} is not installed (extra teachers)")

from train.detection.centerface import CenterFace
from train.teachers.embed import PARTS, EmbeddingNetworks, align, embeddings

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


@pytest.mark.skipif(
    bool(missing()), reason=f"not on this machine, nor in GDTRAIN_WEIGHTS: {', '.join(missing())}"
)
def test_the_published_networks_see_what_a_person_sees() -> None:
    from matplotlib import cbook
    from skimage import data

    detector = CenterFace(weights.find(weights.CENTERFACE, FOLDERS))
    networks = EmbeddingNetworks(*(weights.find(each, FOLDERS)
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
    assert embedded.shape == (2, EmbeddingNetworks.size)
    assert embedded[1, -1] < -2  # about the other, in hat and uniform, it is wrong
