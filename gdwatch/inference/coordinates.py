"""Converts boxes between the three coordinate systems of a photograph, each in pixels of its own.

- thumbnail: the square on which the locator finds faces, the photograph in its upper left corner
- slot: the reduced photograph that a worker leaves for the engine, its aspect ratio kept
- photograph: the upright original, in whose pixels a box is recorded

Nothing here needs torch.
"""

from gdwatch.values import Box

Size = tuple[int, int]  # width and height, pixels


def thumbnail_to_slot(box: Box, side: int, slot: Size) -> Box:
    """Return a box of the thumbnail in pixels of the slot.

    side: of the thumbnail, in pixels; the longer side of the photograph fills it.
    slot: the size of the photograph in the slot.
    """
    scale = max(slot) / side
    return _scaled(box, scale, scale)


def slot_to_photograph(box: Box, slot: Size, photograph: Size) -> Box:
    """Return a box of the slot in pixels of the upright photograph.

    slot, photograph: the sizes of the photograph in the slot and of the upright original.
    """
    return _scaled(box, photograph[0] / slot[0], photograph[1] / slot[1])


def photograph_to_slot(box: Box, photograph: Size, slot: Size) -> Box:
    """The inverse of `slot_to_photograph`."""
    return slot_to_photograph(box, photograph, slot)


def _scaled(box: Box, x: float, y: float) -> Box:
    return Box(box.x * x, box.y * y, box.width * x, box.height * y)
