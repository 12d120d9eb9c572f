import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gdwatch.errors import GdwatchError
from train.published import weights

for each in ("onnx", "onnxruntime"):
    pytest.importorskip(each, reason=f"{each} is not installed (extra teachers)")

from gdwatch.values import Box
from train.detection.boxes import Face
from train.detection.centerface import CenterFace
from train.published import faceres, mobilenet
from train.teachers.networks import EmbeddingNetworks, Files

# Where published weights lie that no package of Python's holds.
FOLDERS = [Path(folder) for folder in os.environ.get("GDTRAIN_WEIGHTS", "").split(":") if folder]


def missing() -> list[str]:
    """Which of the published weights are not on this machine."""
    gone = []
    for each in (weights.CENTERFACE, *weights.TEACHERS):
        try:
            weights.find(each, FOLDERS)
        except GdwatchError:
            gone.append(each.file)
    return gone


def opened(folders: list[Path]) -> EmbeddingNetworks:
    return EmbeddingNetworks(Files(*(weights.find(each, folders) for each in weights.TEACHERS)))


def test_a_face_is_embedded_alike_whatever_is_embedded_with_it(published: Path) -> None:
    networks = opened([published])
    dice = np.random.default_rng(0)
    seen = []
    for number in range(3):
        photo = dice.integers(0, 256, (90 + number, 120, 3), dtype=np.uint8)
        marks = (50.0, 40.0, 62.0, 41.0, 56.0, 48.0, 51.0, 55.0, 61.0, 56.0)
        seen.append((photo, Face(Box(40 + number, 25, 30, 40), 0.9, marks)))
    together = networks.embed(seen)
    assert together.shape == (3, EmbeddingNetworks.size)
    assert EmbeddingNetworks.size == (512 + 256 + faceres.FEATURES + 2 + mobilenet.FEATURES)
    alone = networks.embed(seen[1:2])
    assert np.allclose(alone[0], together[1], rtol=1e-3, atol=1e-3)
    assert not np.allclose(together[0], together[1], rtol=1e-3, atol=1e-3)


@pytest.mark.skipif(
    bool(missing()), reason=f"not on this machine, nor in GDTRAIN_WEIGHTS: {', '.join(missing())}"
)
def test_the_published_networks_see_what_a_person_sees() -> None:
    from matplotlib import cbook
    from skimage import data

    detector = CenterFace(weights.find(weights.CENTERFACE, FOLDERS))
    networks = opened(FOLDERS)
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
    gender, answer = embedded[:, networks.face - 2 : networks.face].T
    assert gender[1] < -2  # about the other, in hat and uniform, it is wrong
    assert answer[1] < 0
