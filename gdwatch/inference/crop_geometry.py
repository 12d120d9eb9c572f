"""Where what a network sees lies in a photograph: the geometry of thumbnail and crops."""

import math
from dataclasses import dataclass

from gdwatch.values import Box

SURROUNDINGS = 80, 128  # width and height of the crop of the surroundings, pixels
_ACROSS, _DOWN = 4.0, 6.4  # its width and height, in longer sides of the face
_LOWER = 1.7  # how far its centre is below the face's, in longer sides of the face
_TOLERANCE = 1e-4  # of a pixel; rounding errors at an edge are smaller


@dataclass(frozen=True, slots=True)
class Axis:
    """The rows, or the columns, of a crop.

    within: the crop's pixels that lie entirely in the photograph; at least one.
    seen: the photograph's pixels under those, rounded to whole pixels.
    side: how many pixels the crop has along this axis.
    """

    within: slice
    seen: slice
    side: int

    @property
    def count(self) -> int:
        """The number of pixels in `within`."""
        return int(self.within.stop - self.within.start)

    @classmethod
    def of(cls, middle: float, length: float, side: int, limit: int) -> "Axis":
        """Return the axis of a crop of `side` pixels.

        middle, length: centre and length of the crop, in pixels of the photograph.
        limit: the pixels that the photograph has along this axis.
        """
        start = middle - length / 2
        step = length / side
        first = min(max(math.ceil(-start / step - _TOLERANCE), 0), side - 1)
        last = min(max(math.floor((limit - start) / step + _TOLERANCE), first + 1), side)
        # A crop entirely outside shows the edge pixels, as if it lay just inside.
        begin = min(max(round(start + first * step), 0), limit - 1)
        end = min(max(round(start + last * step), begin + 1), limit)
        return cls(slice(first, last), slice(begin, end), side)


@dataclass(frozen=True, slots=True)
class Crop:
    """A rectangle that is cut out of a photograph."""

    rows: Axis
    columns: Axis


def square_of(box: Box, margin: float, side: int, width: int, height: int) -> Crop:
    """Return the square that `crop.face` cuts out.

    box, margin, side: as there.
    width, height: of the photograph, in pixels.
    """
    length = max(1.0, margin * max(box.width, box.height))
    return Crop(
        Axis.of(box.y + box.height / 2, length, side, height),
        Axis.of(box.x + box.width / 2, length, side, width),
    )


def square_around(side: int, width: int, height: int, margin: float = 1.0) -> Crop:
    """Return the square that `crop.around` cuts out.

    side, margin: as there.
    width, height: of the photograph, in pixels.
    """
    length = margin * max(width, height)
    return Crop(Axis.of(height / 2, length, side, height), Axis.of(width / 2, length, side, width))


def surroundings_of(box: Box, width: int, height: int, margin: float = 1.0) -> Crop:
    """Return the rectangle that `crop.surroundings` cuts out.

    box, margin: as there.
    width, height: of the photograph, in pixels.
    """
    face = max(1.0, box.width, box.height)
    return _surroundings(
        box.x + box.width / 2,
        box.y + box.height / 2 + _LOWER * face,
        (_ACROSS * face * margin, _DOWN * face * margin),
        (width, height),
        margin,
    )


def surroundings_around(width: int, height: int, margin: float = 1.0) -> Crop:
    """Return the rectangle that `crop.surroundings` cuts out if there is no face.

    width, height: of the photograph, in pixels.
    """
    length = max(width / _ACROSS, height / _DOWN) * margin
    return _surroundings(
        width / 2, height / 2, (_ACROSS * length, _DOWN * length), (width, height), margin
    )


def _surroundings(
    x: float, y: float, length: tuple[float, float], limit: tuple[int, int], margin: float
) -> Crop:
    across, down = (round(side * margin) for side in SURROUNDINGS)
    return Crop(Axis.of(y, length[1], down, limit[1]), Axis.of(x, length[0], across, limit[0]))
