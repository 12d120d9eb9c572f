"""What of a photograph the classifier sees: the one place for it, in training and in service.

What the locator sees stands in `locator`.
"""

import math
from dataclasses import dataclass

import numpy as np

from gdwatch.decode.reduce import Pixels
from gdwatch.resample import resized
from gdwatch.values import Box

_EVEN = 1e-4  # of a pixel; sums of fractions miss a border by less


def face(photo: Pixels, box: Box, margin: float, side: int) -> Pixels:
    """Cut out a square round a face; where it leaves the picture, the edge is repeated.

    photo: uint8 (H, W, 3), RGB.
    box: of the face, in pixels of `photo`.
    margin: side of the square, as a multiple of the longer side of the box.

    Returns uint8 (side, side, 3), RGB.
    """
    height, width = photo.shape[:2]
    return _cut(photo, square_of(box, margin, side, width, height), side)


def around(photo: Pixels, side: int, margin: float = 1.0) -> Pixels:
    """The whole picture in the smallest square round it, the edge repeated: where no face is.

    photo, side: as in `face`.
    margin: side of the square, as a multiple of the picture's longer side.
    """
    height, width = photo.shape[:2]
    return _cut(photo, square_around(side, width, height, margin), side)


def _cut(photo: Pixels, square: "Square", side: int) -> Pixels:
    rows, columns = square.rows, square.columns
    inside: Pixels = resized(photo[rows.seen, columns.seen], rows.count, columns.count).numpy()
    if columns.count == rows.count == side:
        return inside
    pixels = np.empty((side, side, 3), np.uint8)
    across, down = columns.within, rows.within
    pixels[down, across] = inside
    pixels[down, : across.start] = pixels[down, across.start, None]
    pixels[down, across.stop :] = pixels[down, across.stop - 1, None]
    pixels[: down.start] = pixels[down.start]
    pixels[down.stop :] = pixels[down.stop - 1]
    return pixels


@dataclass(frozen=True, slots=True)
class Axis:
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
    def of(cls, middle: float, length: float, side: int, limit: int) -> "Axis":
        """middle, length: of the square in the photograph, which has `limit` pixels."""
        start = middle - length / 2
        step = length / side
        first = min(max(math.ceil(-start / step - _EVEN), 0), side - 1)
        last = min(max(math.floor((limit - start) / step + _EVEN), first + 1), side)
        # A square that is wholly outside shows the edge, as if it lay just inside.
        begin = min(max(round(start + first * step), 0), limit - 1)
        end = min(max(round(start + last * step), begin + 1), limit)
        return cls(slice(first, last), slice(begin, end))


@dataclass(frozen=True, slots=True)
class Square:
    """Where what a network sees lies in a photograph."""

    rows: Axis
    columns: Axis


def square_of(box: Box, margin: float, side: int, width: int, height: int) -> Square:
    """Where `face` cuts. width, height: of the photograph, pixels."""
    length = max(1.0, margin * max(box.width, box.height))
    return Square(
        Axis.of(box.y + box.height / 2, length, side, height),
        Axis.of(box.x + box.width / 2, length, side, width),
    )


def square_around(side: int, width: int, height: int, margin: float = 1.0) -> Square:
    """Where `around` cuts. width, height: of the photograph, pixels."""
    length = margin * max(width, height)
    return Square(
        Axis.of(height / 2, length, side, height), Axis.of(width / 2, length, side, width)
    )
