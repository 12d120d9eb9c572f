"""What of a photograph the classifier sees: the one place for it, in training and in service.

What the locator sees stands in `locator`.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gdwatch.values import Box

Crop = Literal["face", "whole"]
Pixels = NDArray[np.uint8]
# An upright photograph as its decoder leaves it: of mode RGB, or uint8 (H, W, 3), RGB.
Picture = Image.Image | Pixels

_BILINEAR = Image.Resampling.BILINEAR
_EVEN = 1e-4  # of a pixel; sums of fractions miss a border by less


def image(photo: Picture) -> Image.Image:
    """Give a photograph to Pillow, which copies pixels. photo: see `Picture`."""
    return photo if isinstance(photo, Image.Image) else Image.fromarray(photo)


def whole(photo: Picture, side: int) -> Pixels:
    """Squeeze the whole picture into a square, whatever its shape.

    photo: see `Picture`.
    side: of the result, in pixels.

    Returns uint8 (side, side, 3), RGB.
    """
    # Pillow's bilinear filter widens when it shrinks, as torchvision's Resize(antialias=True)
    # does on a picture: networks trained with that see the same pixels here.
    return np.asarray(image(photo).resize((side, side), _BILINEAR))


def reduced(photo: Picture, least: int) -> Pixels:
    """Shrink by a whole factor, so that the longer side keeps `least` pixels if it has them.

    The means over whole pixels cost next to nothing; less than twice `least` are left.

    Returns uint8 (H, W, 3), RGB; what is small enough already is not copied if it is pixels.
    """
    longest = max(photo.size if isinstance(photo, Image.Image) else photo.shape[:2])
    factor = longest // least
    return np.asarray(image(photo).reduce(factor) if factor > 1 else photo)


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
    columns = _Axis.of(x - length / 2, length, side, width)
    rows = _Axis.of(y - length / 2, length, side, height)
    # Only what the square needs, with one more pixel on each side for the filter.
    part = Image.fromarray(np.ascontiguousarray(photo[rows.seen, columns.seen]))
    box = (columns.start, rows.start, columns.stop, rows.stop)
    # Where the square is large, means over whole pixels come first: a tenth of the time.
    inside = part.resize((columns.count, rows.count), _BILINEAR, box, reducing_gap=2.0)
    if columns.count == rows.count == side:
        return np.asarray(inside)
    square = np.empty((side, side, 3), np.uint8)
    across, down = columns.within, rows.within
    square[down, across] = np.asarray(inside)
    square[down, : across.start] = square[down, across.start, None]
    square[down, across.stop :] = square[down, across.stop - 1, None]
    square[: down.start] = square[down.start]
    square[down.stop :] = square[down.stop - 1]
    return square


@dataclass(frozen=True, slots=True)
class _Axis:
    """One direction of a square that is cut out, where it lies in the photograph.

    within: of the square's pixels, those that lie in the photograph whole; at least one.
    seen: the photograph's pixels under these, and one beside.
    start, stop: where these begin and end, in pixels of what is seen.
    """

    within: slice
    seen: slice
    start: float
    stop: float

    @property
    def count(self) -> int:
        """How many pixels of the square lie in the photograph."""
        return int(self.within.stop - self.within.start)

    @classmethod
    def of(cls, start: float, length: float, side: int, limit: int) -> "_Axis":
        """start, length: of the square in the photograph, which has `limit` pixels."""
        step = length / side
        first = min(max(math.ceil(-start / step - _EVEN), 0), side - 1)
        last = min(max(math.floor((limit - start) / step + _EVEN), first + 1), side)
        # A square that is wholly outside shows the edge, as if it lay just inside.
        begin = min(max(start + first * step, 0.0), limit - 1.0)
        end = min(max(start + last * step, begin + 1.0), float(limit))
        seen = slice(max(math.floor(begin) - 1, 0), min(math.ceil(end) + 1, limit))
        return cls(slice(first, last), seen, begin - seen.start, end - seen.start)
