import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdwatch.values import Box
from train.detection.boxes import Face
from train.teachers.views import SURROUNDINGS, align, surroundings


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


def test_surroundings_show_a_face_in_their_upper_half_and_what_is_below_it() -> None:
    photo = np.zeros((800, 800, 3), np.uint8)
    photo[200:240, 380:420] = 255
    shown = surroundings(photo, Box(380, 200, 40, 40)).astype(float).mean(2)
    assert shown.shape == SURROUNDINGS[::-1]
    rows, columns = np.nonzero(shown > 128)
    assert abs(columns.mean() - (SURROUNDINGS[0] - 1) / 2) < 1
    assert np.ptp(columns) == pytest.approx(SURROUNDINGS[0] / 4, abs=2)
    assert 30 < rows.mean() < 70
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=2)


def test_outside_of_the_photograph_the_surroundings_are_of_one_colour() -> None:
    photo = np.full((100, 60, 3), 255, np.uint8)
    shown = surroundings(photo, Box(10, 10, 40, 40))
    outside = shown[0, 0]
    assert (shown[-1] == outside).all()
    inside = (shown == 255).all(2)
    assert (inside | (shown == outside).all(2)).all()
    assert inside.any(0).sum() == pytest.approx(60 / 160 * SURROUNDINGS[0], abs=1)
    assert inside.any(1).sum() == pytest.approx(100 / 160 * SURROUNDINGS[0], abs=1)


sides = st.floats(0.1, 3000)


@given(st.floats(-500, 500), st.floats(-500, 500), sides, sides,
       st.integers(1, 90), st.integers(1, 90))  # fmt: skip
def test_any_box_has_surroundings(
    x: float, y: float, width: float, height: float, across: int, down: int
) -> None:
    photo = np.full((down, across, 3), 200, np.uint8)
    shown = surroundings(photo, Box(x, y, width, height))
    assert shown.shape == (*SURROUNDINGS[::-1], 3)
    assert shown.dtype == np.uint8
