"""The training targets of a locator: the output it should give for known faces."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gdwatch.networks.locator import STRIDE, UNIT

Floats = NDArray[np.float32]

# A face with less than one of these is ignored by the loss: neither a target nor background.
_SURE = 0.45  # the detector's score
_SMALLEST = 7  # pixels of the longer side
_VISIBLE = 0.55  # share of the box inside the picture


def targets(
    faces: Sequence[Floats], width: int, height: int, cells: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """The targets of a thumbnail: `Scene.heat`, `counts`, `boxes` and `weight`.

    faces: each float32 (5,), as in `Photograph`, in pixels of the thumbnail.
    width, height: of the picture on the thumbnail; cells: of each side of the output.
    """
    heat = np.zeros((cells, cells), np.float32)
    counts = np.ones((cells, cells), np.float32)
    boxes = np.zeros((4, cells, cells), np.float32)
    weight = np.zeros((cells, cells), np.float32)
    rows, columns = np.mgrid[0:cells, 0:cells].astype(np.float32) + 0.5
    for left, top, right, bottom, score in faces:
        across, down = right - left, bottom - top
        inside = max(0, min(width, right) - max(0, left)) * max(
            0, min(height, bottom) - max(0, top)
        )
        visible = inside / max(1e-3, across * down)
        if visible < 0.05:
            continue
        x, y = (left + right) / 2 / STRIDE, (top + bottom) / 2 / STRIDE
        if score < _SURE or visible < _VISIBLE or max(across, down) < _SMALLEST:
            near_x = np.abs(columns - x) * STRIDE < across / 2 + 4
            counts[near_x & (np.abs(rows - y) * STRIDE < down / 2 + 4)] = 0
            continue
        spread = max(0.45, 0.11 * math.sqrt(across * down) / STRIDE)
        here = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2))
        here[int(np.clip(y, 0, cells - 0.01)), int(np.clip(x, 0, cells - 0.01))] = 1
        heat = np.maximum(heat, here)
        nearest = (here > 0.4) & (here > weight)
        weight[nearest] = here[nearest]
        size = math.log(across / UNIT), math.log(down / UNIT)
        boxes[0][nearest], boxes[1][nearest] = (x - columns)[nearest], (y - rows)[nearest]
        boxes[2][nearest], boxes[3][nearest] = size
    counts[heat > 0.05] = 1
    return heat, counts, boxes, weight
