import numpy as np
import torch

from train.detection.locator_loss import loss_of
from train.detection.targets import targets


def test_a_locators_loss_is_less_for_the_right_answer() -> None:
    heat, counts, cells, weight = (
        torch.from_numpy(values)[None]
        for values in targets([np.array([50, 40, 90, 88, 0.9], np.float32)], 160, 160, 20)
    )
    logit = torch.where(heat == 1, 6.0, -6.0)
    right = torch.cat((logit[:, None], cells), 1)
    wrong = torch.cat((logit[:, None].flip(2), cells), 1)
    moved = torch.cat((logit[:, None], cells + 0.5), 1)
    least = loss_of(right, heat, counts, cells, weight)
    assert least < 0.1
    assert least < loss_of(moved, heat, counts, cells, weight)
    assert least < loss_of(wrong, heat, counts, cells, weight)
