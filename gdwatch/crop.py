"""What of a photograph the classifier sees: the one place for it, in training and in service.

What the locator sees stands in `locator`.
"""

import math
from dataclasses import dataclass

import numpy as np

from gdwatch.resample import resized
from gdwatch.shrink import Pixels
from gdwatch.values import Box

_EVEN = 1e-4  # of a pixel; sums of fractions miss a border by less


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
    inside: Pixels = resized(photo[rows.seen, columns.seen], rows.count, columns.count).numpy()
    if columns.count == rows.count == side:
        return inside
    square = np.empty((side, side, 3), np.uint8)
    across, down = columns.within, rows.within
    square[down, across] = inside
    square[down, : across.start] = square[down, across.start, None]
    square[down, across.stop :] = square[down, across.stop - 1, None]
    square[: down.start] = square[down.start]
    square[down.stop :] = square[down.stop - 1]
    return square


@dataclass(frozen=True, slots=True)
class _Axis:
    """One direction of a square that is cut out, where it lies in the photograph.

    within: of the square's pixels, those that lie in the photograph whole; at least one.
    seen: the photograph's pixels under these, to the nearest whole one.
    """

    within: slice
    seen: slice

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
        begin = min(max(round(start + first * step), 0), limit - 1)
        end = min(max(round(start + last * step), begin + 1), limit)
        return cls(slice(first, last), slice(begin, end))
