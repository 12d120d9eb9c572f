"""Boxes in the three pictures that there are of a photograph, and from one to the other.

- the thumbnail, on which the locator finds faces: a square, the photograph in its upper left corner
- the slot, where a worker leaves the photograph: reduced, its shape kept
- the upright photograph itself, in whose pixels a box is recorded

Nothing here needs torch.
"""

from gdwatch.values import Box

Size = tuple[int, int]  # width and height, pixels


def thumbnail_to_slot(box: Box, side: int, slot: Size) -> Box:
    """side: of the thumbnail, in pixels; the longer side of the picture fills it."""
    scale = max(slot) / side
    return _scaled(box, scale, scale)


def slot_to_photograph(box: Box, slot: Size, photograph: Size) -> Box:
    """slot, photograph: the sizes of what is in the slot and of the upright photograph."""
    return _scaled(box, photograph[0] / slot[0], photograph[1] / slot[1])


def photograph_to_slot(box: Box, photograph: Size, slot: Size) -> Box:
    """The other way round, as in `slot_to_photograph`."""
    return slot_to_photograph(box, photograph, slot)


def _scaled(box: Box, x: float, y: float) -> Box:
    return Box(box.x * x, box.y * y, box.width * x, box.height * y)
