"""Where the square that a network sees lies in a photograph."""

import math
from dataclasses import dataclass

from gdwatch.values import Box

_EVEN = 1e-4  # of a pixel; sums of fractions miss a border by less


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
