import numpy as np
import torch

from train.detection.locator_loss import loss_of
from train.detection.targets import targets


def test_a_locators_loss_is_less_for_the_right_answer() -> None:
    face = np.array([50, 40, 90, 88, 0.9, *[70.0] * 10], np.float32)
    heat, counts, cells, weight, marks, marked = (
        torch.from_numpy(values)[None] for values in targets([face], 160, 160, 20)
    )
    logit = torch.where(heat == 1, 6.0, -6.0)
    right = torch.cat((logit[:, None], cells), 1)
    wrong = torch.cat((logit[:, None].flip(2), cells), 1)
    moved = torch.cat((logit[:, None], cells + 0.5), 1)
    wanted = (heat, counts, cells, weight, marks, marked)
    least = loss_of(right, wanted)
    assert least < 0.1
    assert least < loss_of(moved, wanted)
    assert least < loss_of(wrong, wanted)
    with_landmarks = torch.cat((right, marks), 1)
    assert loss_of(with_landmarks, wanted) == least
    assert loss_of(torch.cat((right, marks + 0.2), 1), wanted) > least
