"""What of a photograph each network sees: the one place for it, in training and in service."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gdwatch.values import Box

Crop = Literal["face", "whole"]
Pixels = NDArray[np.uint8]

_BILINEAR = Image.Resampling.BILINEAR
_BESIDE = 128  # grey, what a thumbnail shows beside its photograph


def whole(photo: Image.Image, side: int) -> Pixels:
    """Squeeze the whole picture into a square, whatever its shape.

    photo: mode RGB, upright.
    side: of the result, in pixels.

    Returns uint8 (side, side, 3), RGB.
    """
    # Pillow's bilinear filter widens when it shrinks, as torchvision's Resize(antialias=True)
    # does on a picture: networks trained with that see the same pixels here.
    return np.asarray(photo.resize((side, side), _BILINEAR))


def thumbnail(photo: Image.Image, side: int) -> Pixels:
    """Show the whole picture to the locator, in its own shape, in the upper left corner.

    photo, side: as in `whole`.

    Returns uint8 (side, side, 3), RGB; grey beside the picture.
    """
    scale = side / max(photo.size)
    width, height = (max(1, round(length * scale)) for length in photo.size)
    square = np.full((side, side, 3), _BESIDE, np.uint8)
    # From four times the side on, means over whole pixels come first: a tenth of the time.
    shown = photo.resize((width, height), _BILINEAR, reducing_gap=2.0)
    square[:height, :width] = np.asarray(shown)
    return square


def reduced(photo: Image.Image, least: int) -> Image.Image:
    """Shrink by a whole factor, so that the longer side keeps `least` pixels if it has them.

    The means over whole pixels cost next to nothing; less than twice `least` are left.
    """
    factor = max(photo.size) // least
    return photo.reduce(factor) if factor > 1 else photo


def face(photo: Pixels, box: Box, margin: float, side: int) -> Pixels:
    """Cut out a square round a face; where it leaves the picture, the edge is repeated.

    photo: uint8 (H, W, 3), RGB.
    box: of the face, in pixels of `photo`.
    margin: side of the square, as a multiple of the longer side of the box.

    Returns uint8 (side, side, 3), RGB.
    """
    length = max(1.0, margin * max(box.width, box.height))
    return _square(photo, box.x + box.width / 2, box.y + box.height / 2, length, side)


def around(photo: Pixels, side: int, margin: float = 1.0) -> Pixels:
    """The whole picture in the smallest square round it, the edge repeated: where no face is.

    photo, side: as in `face`.
    margin: side of the square, as a multiple of the picture's longer side.
    """
    height, width = photo.shape[:2]
    return _square(photo, width / 2, height / 2, margin * max(width, height), side)


def _square(photo: Pixels, x: float, y: float, length: float, side: int) -> Pixels:
    """Resize the square with this centre and side length; coordinates in pixels."""
    height, width = photo.shape[:2]
    left, top = x - length / 2, y - length / 2
    right, bottom = left + length, top + length
    # Only what the square needs, with one more pixel on each side for the filter.
    first_row, first_column = int(np.floor(top)) - 1, int(np.floor(left)) - 1
    count = int(np.ceil(bottom)) + 1 - first_row, int(np.ceil(right)) + 1 - first_column
    rows, rows_beside = _span(first_row, count[0], height)
    columns, columns_beside = _span(first_column, count[1], width)
    part = photo[rows, columns]
    if any(rows_beside + columns_beside):
        part = np.pad(part, (rows_beside, columns_beside, (0, 0)), mode="edge")
    left, top = left - first_column, top - first_row
    inside = (left, top, min(left + length, count[1]), min(top + length, count[0]))
    image = Image.fromarray(np.ascontiguousarray(part))
    # As in a thumbnail, means over whole pixels come first where the square is large.
    return np.asarray(image.resize((side, side), _BILINEAR, inside, reducing_gap=2.0))


def _span(first: int, count: int, length: int) -> tuple[slice, tuple[int, int]]:
    """Which of `count` rows from `first` on lie in a picture of `length` of them.

    Returns these, and how many lie before and behind, where the picture's edge is repeated.
    """
    first = min(max(first, 1 - count), length - 1)  # wholly outside it looks as if just outside
    start, stop = max(first, 0), min(first + count, length)
    return slice(start, stop), (start - first, first + count - stop)
