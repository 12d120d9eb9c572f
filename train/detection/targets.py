"""The training targets of a locator: the output it should give for known faces."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gdwatch.networks.locator import LANDMARKS, STRIDE, UNIT

Floats = NDArray[np.float32]

# A face with less than one of these is ignored by the loss: neither a target nor background.
_SURE = 0.45  # the detector's score
_SMALLEST = 7  # pixels of the longer side
_MARKED = 14  # pixels of the longer side from which the detector places landmarks well
_VISIBLE = 0.55  # share of the box inside the picture


def targets(faces: Sequence[Floats], width: int, height: int, cells: int) -> tuple[Floats, ...]:
    """The targets of a thumbnail: what a `Scene` has beside its picture, in the same order.

    faces: each float32 (15,), as in `Photograph`, in pixels of the thumbnail.
    width, height: of the picture on the thumbnail; cells: of each side of the output.
    """
    heat = np.zeros((cells, cells), np.float32)
    counts = np.ones((cells, cells), np.float32)
    boxes = np.zeros((4, cells, cells), np.float32)
    weight = np.zeros((cells, cells), np.float32)
    marks = np.zeros((2 * LANDMARKS, cells, cells), np.float32)
    marked = np.zeros((cells, cells), np.float32)
    rows, columns = np.mgrid[0:cells, 0:cells].astype(np.float32) + 0.5
    for face in faces:
        left, top, right, bottom, score = face[:5]
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
        known = max(across, down) >= _MARKED and bool(np.isfinite(face[5:]).all())
        marked[nearest] = here[nearest] if known else 0
        if known:
            points = face[5:].reshape(LANDMARKS, 2) - ((left + right) / 2, (top + bottom) / 2)
            marks[:, nearest] = (points / (across, down)).reshape(-1, 1)
    counts[heat > 0.05] = 1
    return heat, counts, boxes, weight, marks, marked
