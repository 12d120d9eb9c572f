"""Which of several faces a photograph is of: the larger and the more central one."""

import math

from gdwatch.values import Box

MOST_FACES = 5  # of one photograph are judged, the most prominent ones
_CENTRE = 0.8  # how much of its size a face in the corner keeps, less: see `prominence`


def prominence(box: Box, width: float, height: float) -> float:
    """The longer side of a face, less the farther it is from the middle of the photograph.

    box: in pixels of the photograph; width, height: of the photograph, in pixels.
    """
    x = (box.x + box.width / 2) / width - 0.5
    y = (box.y + box.height / 2) / height - 0.5
    return max(box.width, box.height) * max(0.0, 1 - _CENTRE * math.hypot(x, y))
