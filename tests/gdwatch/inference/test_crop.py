import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from gdwatch.decode import reduce
from gdwatch.decode.reduce import Reduction
from gdwatch.inference import crop, model_file
from gdwatch.inference.model_file import layout
from gdwatch.values import Box
from tests import build

LENGTH = st.integers(1, 90)
BOX = st.builds(
    Box, st.floats(-200, 200), st.floats(-200, 200), st.floats(0.01, 300), st.floats(0.01, 300)
)


def ramp(width: int, height: int) -> reduce.Pixels:
    """A picture whose red is the column and whose green is the row."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 0] = np.arange(width)[None]
    pixels[:, :, 1] = np.arange(height)[:, None]
    return pixels


def test_a_face_is_cut_out_with_its_margin() -> None:
    square = crop.face(ramp(200, 200), Box(80, 60, 20, 40), margin=2.0, side=80)
    # The box's centre is (90, 80), the square's side 80: columns 50 to 130, rows 40 to 120.
    assert square[:, :, 0].min() == 50
    assert square[:, :, 0].max() == 129
    assert square[:, :, 1].min() == 40
    assert square[:, :, 1].max() == 119
    assert np.array_equal(square, ramp(200, 200)[40:120, 50:130])


def test_beyond_the_picture_its_edge_is_repeated() -> None:
    square = crop.face(ramp(100, 100), Box(-10, 90, 20, 20), margin=1.0, side=20)
    assert (square[:, :10, 0] == 0).all()
    assert (square[10:, :, 1] == 99).all()


@given(LENGTH, LENGTH, BOX, st.floats(1, 4))
def test_any_box_gives_a_square_of_colours_that_are_there(
    width: int, height: int, box: Box, margin: float
) -> None:
    photo = ramp(width, height)
    square = crop.face(photo, box, margin, side=16)
    assert (square.shape, square.dtype) == ((16, 16, 3), np.uint8)
    assert square[:, :, 0].max() < width
    assert square[:, :, 1].max() < height


@given(LENGTH, LENGTH, BOX, st.floats(1, 2))
def test_beyond_any_edge_the_nearest_pixels_within_are_repeated(
    width: int, height: int, box: Box, margin: float
) -> None:
    side = 16
    square = crop.face(build.pixels(1, size=(width, height)), box, margin, side)
    step = max(1.0, margin * max(box.width, box.height)) / side
    for pixels, middle, limit in (
        (square, box.y + box.height / 2, height),
        (square.swapaxes(0, 1), box.x + box.width / 2, width),
    ):
        before = middle / step + np.arange(side) - side / 2
        behind = limit / step - 1 - before
        # Sums of fractions miss a border by next to nothing; no pixel is to be cut by as little.
        near = np.abs(np.concatenate((before, behind)))
        assume(not ((near > 1e-9) & (near < 1e-3)).any())
        within = np.flatnonzero((before > -1e-9) & (behind > -1e-9))
        if len(within):
            assert (pixels[: within[0]] == pixels[within[0]]).all()
            assert (pixels[within[-1] :] == pixels[within[-1]]).all()


def test_a_square_across_the_edge_shows_within_what_one_inside_shows() -> None:
    photo = build.pixels(1, size=(200, 200))
    whole = crop.face(photo, Box(-40, 20, 160, 160), margin=1.0, side=32)
    wide = np.pad(photo, ((0, 0), (100, 0), (0, 0)), mode="edge")
    padded = crop.face(wide, Box(60, 20, 160, 160), margin=1.0, side=32)
    # Eight columns lie beyond; the filter sees one more on each side of the edge.
    assert np.abs(whole[:, 10:].astype(int) - padded[:, 10:]).max() <= 2


@given(LENGTH, LENGTH)
def test_the_whole_picture_is_in_the_square_round_it(width: int, height: int) -> None:
    square = crop.around(ramp(width, height), side=96)
    assert square.shape == (96, 96, 3)
    longer = 0 if width >= height else 1
    assert square[:, :, longer].min() <= 1
    assert square[:, :, longer].max() >= max(width, height) - 2


@given(LENGTH, LENGTH, st.integers(1, 100))
def test_a_reduced_photograph_keeps_its_least_and_not_twice_that(
    width: int, height: int, least: int
) -> None:
    image = Image.fromarray(ramp(width, height))
    pixels = reduce.reduced(image, least)
    size = pixels.shape[1::-1]
    assert min(least, max(width, height)) <= max(size) < 2 * least or size == (width, height)
    assert max(size) < 2 * least
    assert np.array_equal(pixels, reduce.reduced(np.asarray(image), least))


def test_the_smallest_face_fills_the_input_when_it_is_enlarged_by_a_fifth() -> None:
    details = build.located()
    margin, smallest = details.preprocessing.margin, details.preprocessing.smallest_face
    assert details.locator is not None
    assert margin is not None
    wanted = layout([details], "face")
    face = wanted.photo * smallest / details.locator.input
    assert details.classifier.input <= 1.2 * face * margin < 1.1 * details.classifier.input


@pytest.mark.parametrize(("name", "length"), [("fast", 1280), ("accurate", 2560)])
def test_of_a_portrait_a_shipped_model_needs_the_half(name: str, length: int) -> None:
    least = layout([model_file.read(model_file.find(name)).details], "face").least
    assert 2 * least <= length < 4 * least


def test_without_a_locator_or_with_crop_whole_the_square_is_the_input() -> None:
    assert layout([build.details()], "face") == Reduction(build.SIDE, whole=True)
    assert layout([build.located()], "whole") == Reduction(build.SIDE, whole=True)
