from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdwatch.inference.coordinates import (
    photograph_to_slot,
    slot_to_photograph,
    thumbnail_to_slot,
)
from gdwatch.values import Box

SIZES = st.tuples(st.integers(1, 9000), st.integers(1, 9000))
BOXES = st.builds(Box, *[st.floats(-1e4, 1e4)] * 4)


def test_a_box_on_the_thumbnail_is_as_much_larger_in_the_slot_as_the_picture_is() -> None:
    box = thumbnail_to_slot(Box(16, 8, 32, 40), 160, (600, 800))
    assert box == Box(80, 40, 160, 200)


def test_each_side_of_a_photograph_has_its_own_scale() -> None:
    """A reduced picture has whole pixels: its two sides may have been divided unequally."""
    box = slot_to_photograph(Box(10, 10, 20, 20), (100, 51), (200, 101))
    assert box == Box(20, 10 * 101 / 51, 40, 20 * 101 / 51)


@given(BOXES, SIZES, SIZES)
def test_there_and_back_is_the_same_box(
    box: Box, slot: tuple[int, int], photograph: tuple[int, int]
) -> None:
    there = slot_to_photograph(box, slot, photograph)
    assert astuple(photograph_to_slot(there, photograph, slot)) == pytest.approx(astuple(box))
