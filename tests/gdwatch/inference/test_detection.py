"""Thumbnails, the reading of a locator's output, and the locator in the package."""

import io
from dataclasses import astuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.ops import nms

from gdwatch.inference import model, model_file
from gdwatch.inference.detection import _holds, distinct, find, scores_and_boxes, thumbnails
from gdwatch.inference.faces import Detection
from gdwatch.networks.locator import STRIDE, UNIT
from gdwatch.values import Box
from tests import build

SIDE = 160
CELLS = SIDE // STRIDE


def answer(*faces: tuple[Box, float]) -> torch.Tensor:
    """The output of a locator that sees exactly these faces."""
    said = torch.zeros(1, 5, CELLS, CELLS)
    said[:, 0] = -10
    for box, score in faces:
        x, y = (box.x + box.width / 2) / STRIDE, (box.y + box.height / 2) / STRIDE
        row, column = int(y), int(x)
        numbers = (
            float(np.log(score / (1 - score))),
            x - column - 0.5,
            y - row - 0.5,
            float(np.log(box.width / UNIT)),
            float(np.log(box.height / UNIT)),
        )
        said[0, :, row, column] = torch.tensor(numbers)
    return said


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    both = max(0.0, width) * max(0.0, height)
    return both / (one.width * one.height + other.width * other.height - both)


@pytest.mark.parametrize("box", [Box(20, 30, 40, 50), Box(3, 3, 9, 11), Box(0, 0, 160, 155)])
def test_an_answer_says_where_a_face_is(box: Box) -> None:
    ((found,),) = find(answer((box, 0.9)), 0.5)
    assert found.score == pytest.approx(0.9, abs=1e-4)
    assert overlap(found.box, box) > 0.99


def test_a_face_is_found_once_and_the_surest_comes_first() -> None:
    said = answer(
        (Box(20, 20, 40, 40), 0.7), (Box(29, 20, 40, 40), 0.9), (Box(100, 100, 30, 30), 0.95)
    )
    assert [round(each.score, 2) for each in find(said, 0.5)[0]] == [0.95, 0.9]


def test_a_part_of_a_face_is_no_second_face() -> None:
    said = answer((Box(20, 20, 100, 120), 0.9), (Box(40, 90, 50, 40), 0.6))
    assert [each.box.width for each in find(said, 0.5)[0]] == [pytest.approx(100, abs=0.1)]


def test_what_is_less_sure_than_the_threshold_is_no_face() -> None:
    assert find(answer((Box(20, 20, 40, 40), 0.4)), 0.5) == [[]]


def test_scores_and_boxes_have_one_place_a_cell() -> None:
    scores, boxes = scores_and_boxes(torch.zeros(3, 5, 4, 6))
    assert (tuple(scores.shape), tuple(boxes.shape)) == ((3, 24), (3, 24, 4))


# ------------------------------------------------------------- the one in the package

PHOTOGRAPHS = {
    "astronaut": (build.astronaut, Box(170, 60, 110, 140)),
    "grace hopper": (build.grace_hopper, Box(170, 80, 175, 235)),
}


def located(photo: Image.Image) -> list[Detection]:
    """The faces that the shipped model finds, in pixels of the photograph."""
    loaded = model.load(model_file.read(model_file.find("fast")))
    assert loaded.locator is not None
    assert loaded.details.locator is not None
    side = loaded.details.locator.input
    square = thumbnails([np.asarray(photo)], side).permute(0, 3, 1, 2)
    with torch.inference_mode():
        (found,) = find(loaded.locator(square), loaded.locator.threshold)
    scale = max(photo.size) / side
    return [
        Detection(Box(*(scale * n for n in (f.box.x, f.box.y, f.box.width, f.box.height))), f.score)
        for f in found
    ]


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_face_of_a_portrait_is_found(name: str, *, mirrored: bool) -> None:
    content, box = PHOTOGRAPHS[name]
    photo = Image.open(io.BytesIO(content())).convert("RGB")
    if mirrored:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        box = Box(photo.width - box.x - box.width, box.y, box.width, box.height)
    found = located(photo)
    assert overlap(found[0].box, box) > 0.5


def test_in_noise_and_in_nothing_there_is_no_face() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    assert located(Image.fromarray(noise)) == []
    assert located(Image.new("RGB", (300, 200), "white")) == []


@pytest.mark.parametrize(("width", "height"), [(400, 300), (300, 400), (64, 64), (1000, 3)])
def test_a_thumbnail_keeps_its_shape_and_is_grey_beside(width: int, height: int) -> None:
    square = thumbnails([np.array(Image.new("RGB", (width, height), "red"))], 64)[0].numpy()
    rows, columns = (
        max(1, round(64 * height / max(width, height))),
        round(64 * width / max(width, height)),
    )
    assert (square[:rows, :columns] == (255, 0, 0)).all()
    assert (square[rows:] == 128).all()
    assert (square[:, columns:] == 128).all()


CORNER = st.floats(0, 100)
BOXES = st.lists(st.builds(Box, CORNER, CORNER, st.floats(1, 60), st.floats(1, 60)), max_size=12)


@given(BOXES)
def test_a_face_is_kept_where_torchvision_keeps_it(boxes: list[Box]) -> None:
    corners = [[box.x, box.y, box.x + box.width, box.y + box.height] for box in boxes]
    scores = [1 - number / 100 for number in range(len(boxes))]
    kept = nms(
        torch.tensor(corners).view(-1, 4).double(), torch.tensor(scores).double(), 0.4
    ).tolist()
    found = [boxes.index(min(boxes, key=lambda box: _distance(box, face.box)))
             for face in distinct(list(map(Detection, boxes, scores)))]  # fmt: skip
    assert set(found) <= set(kept)
    # What torchvision keeps beyond that has its middle in a face that is surer.
    for number in set(kept) - set(found):
        box = boxes[number]
        middle = box.x + box.width / 2, box.y + box.height / 2
        assert any(_holds(boxes[other], *middle) for other in found if other < number)


def _distance(one: Box, other: Box) -> float:
    return sum(abs(a - b) for a, b in zip(astuple(one), astuple(other), strict=True))
