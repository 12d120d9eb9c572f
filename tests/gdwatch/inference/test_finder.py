import numpy as np
import pytest
import torch
from torch import Tensor

from gdwatch.decode.reduce import Pixels
from gdwatch.inference.finder import Finder
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import Details
from gdwatch.networks.locator import STRIDE, UNIT, Locator
from tests import build

CPU = torch.device("cpu")
FIRST, CLOSER = 160, 416


class Bright(Locator):
    """A locator that takes every bright cell for a face of `length` pixels of its thumbnail."""

    def __init__(self, length: float) -> None:
        super().__init__(stem=4, widths=[4, 4, 4], blocks=[0, 0, 0], head=4, threshold=0.5)
        self.length = length
        self.seen = 0

    def forward(self, thumbnails: Tensor) -> Tensor:
        self.seen += int((thumbnails != 128).flatten(1).any(1).sum())
        bright = torch.nn.functional.avg_pool2d(thumbnails.float().mean(1, keepdim=True), STRIDE)
        answer = torch.zeros(len(bright), 5, *bright.shape[2:])
        answer[:, :1] = bright - 200
        answer[:, 3:] = np.log(self.length / UNIT)
        return answer


def finder(first: float, closer: float | None) -> Finder:
    """first, closer: the length of the faces that each look sees, in its own pixels."""
    described = {"arch": "pyramid", "arguments": {}, "input": FIRST}
    details = Details.model_validate(
        build.located().model_dump(mode="json")
        | {"format": 2, "locator": described}
        | ({"closer": {**described, "input": CLOSER}} if closer else {})
    )
    model = Model(Bright(first), build.network(), details, "", Bright(closer) if closer else None)
    return Finder(model, CPU, torch.float32)


def photograph(side: int, *spots: tuple[int, int, int]) -> Pixels:
    """A dark photograph with bright squares: x, y and side of each, in pixels."""
    photo = np.zeros((side, side, 3), np.uint8)
    for x, y, length in spots:
        photo[y : y + length, x : x + length] = 255
    return photo


@pytest.fixture(autouse=True)
def _as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdwatch.inference.finder.ready", lambda network, *_: network)


def test_a_photograph_with_a_large_face_gets_one_look() -> None:
    made = finder(40, 20)
    (faces,), _ = made.find([photograph(640, (280, 280, 64))])
    assert faces
    assert made.closer is not None
    assert made.closer.locator.seen == 0


def test_a_photograph_with_small_faces_only_gets_a_closer_look() -> None:
    made = finder(12, 20)
    (faces,), _ = made.find([photograph(640, (280, 280, 40))])
    assert made.closer is not None
    assert made.closer.locator.seen == 1
    assert faces


def test_what_is_too_small_for_the_first_look_is_found_by_the_closer_one() -> None:
    small = photograph(640, (280, 280, 26))
    assert finder(12, None).find([small])[0] == [[]]
    (faces,), _ = finder(12, 20).find([small])
    assert len(faces) == 1
    box = faces[0].box
    assert box.x + box.width / 2 == pytest.approx(293, abs=16)


def test_a_photograph_of_few_pixels_gets_no_closer_look() -> None:
    made = finder(12, 20)
    made.find([photograph(180, (80, 80, 10))])
    assert made.closer is not None
    assert made.closer.locator.seen == 0


def test_each_photograph_keeps_its_own_faces() -> None:
    photos = [photograph(640, (280, 280, 26)), photograph(640), photograph(640, (100, 100, 26))]
    found, _ = finder(12, 20).find(photos)
    assert [len(faces) for faces in found] == [1, 0, 1]
    assert found[0][0].box.x > found[2][0].box.x
