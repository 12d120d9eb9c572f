import math

import numpy as np
import pytest
import torch

from gdwatch.inference.detection import scores_and_boxes
from train.detection.targets import targets


def test_what_is_taught_reads_back_as_the_box() -> None:
    face = np.array([50, 40, 90, 88, 0.9, *[math.nan] * 10], np.float32)
    heat, counts, cells, weight, _, marked = targets([face], 160, 160, 20)
    row, column = np.argwhere(heat == 1)[0]
    assert (row, column) == (8, 8)
    assert weight[row, column] == 1
    assert counts.min() == 1
    assert marked.max() == 0  # nobody knows its landmarks
    answer = torch.from_numpy(np.concatenate((heat[None], cells))[None])
    _, read = scores_and_boxes(answer)
    assert read[0, row * 20 + column].tolist() == pytest.approx([50, 40, 90, 88], abs=0.1)


@pytest.mark.parametrize(
    "face", [[50, 40, 90, 88, 0.2], [50, 40, 54, 45, 0.9], [-60, 40, 20, 120, 0.9]],
    ids=["unsure", "small", "cut"],
)  # fmt: skip
def test_a_doubtful_face_is_neither_taught_nor_denied(face: list[float]) -> None:
    known = np.array([*face, *[70.0] * 10], np.float32)
    heat, counts, _, weight, _, marked = targets([known], 160, 160, 20)
    assert heat.max() == weight.max() == marked.max() == 0
    assert counts.min() == 0
