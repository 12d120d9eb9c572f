"""Where the square that a network sees lies in a photograph: the geometry of thumbnail and crop."""

import math
from dataclasses import dataclass

from gdwatch.values import Box

_TOLERANCE = 1e-4  # of a pixel; rounding errors at an edge are smaller


@dataclass(frozen=True, slots=True)
class Axis:
    """The rows, or the columns, of a square that is cut out of a photograph.

    within: the square's pixels that lie entirely in the photograph; at least one.
    seen: the photograph's pixels under those, rounded to whole pixels.
    """

    within: slice
    seen: slice

    @property
    def count(self) -> int:
        """The number of pixels in `within`."""
        return int(self.within.stop - self.within.start)

    @classmethod
    def of(cls, middle: float, length: float, side: int, limit: int) -> "Axis":
        """Return the axis of a square of `side` pixels.

        middle, length: centre and side of the square, in pixels of the photograph.
        limit: the pixels that the photograph has along this axis.
        """
        start = middle - length / 2
        step = length / side
        first = min(max(math.ceil(-start / step - _TOLERANCE), 0), side - 1)
        last = min(max(math.floor((limit - start) / step + _TOLERANCE), first + 1), side)
        # A square entirely outside shows the edge pixels, as if it lay just inside.
        begin = min(max(round(start + first * step), 0), limit - 1)
        end = min(max(round(start + last * step), begin + 1), limit)
        return cls(slice(first, last), slice(begin, end))


@dataclass(frozen=True, slots=True)
class Square:
    """A square that is cut out of a photograph."""

    rows: Axis
    columns: Axis


def square_of(box: Box, margin: float, side: int, width: int, height: int) -> Square:
    """Return the square that `crop.face` cuts out.

    box, margin, side: as there.
    width, height: of the photograph, in pixels.
    """
    length = max(1.0, margin * max(box.width, box.height))
    return Square(
        Axis.of(box.y + box.height / 2, length, side, height),
        Axis.of(box.x + box.width / 2, length, side, width),
    )


def square_around(side: int, width: int, height: int, margin: float = 1.0) -> Square:
    """Return the square that `crop.around` cuts out.

    side, margin: as there.
    width, height: of the photograph, in pixels.
    """
    length = margin * max(width, height)
    return Square(
        Axis.of(height / 2, length, side, height), Axis.of(width / 2, length, side, width)
    )
