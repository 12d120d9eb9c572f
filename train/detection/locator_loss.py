"""The loss of a locator."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor


def loss_of(answer: Tensor, wanted: Sequence[Tensor]) -> Tensor:
    """The penalty-reduced focal loss of CenterNet (Zhou et al. 2019, arXiv:1904.07850) for the heat
    map, plus a smooth L1 loss for the boxes.

    answer: float (B, C, h, w), as from `Locator`.
    wanted: what a `Scene` has beside its thumbnail, in its order, each with a batch axis.

    The landmarks have a smooth L1 loss too, where the network places them.
    """
    heat, counts, boxes, weight, marks, marked = wanted
    sure = torch.sigmoid(answer[:, 0]).clamp(1e-4, 1 - 1e-4)
    centre = (heat >= 0.999).float()
    there = centre * (1 - sure) ** 2 * torch.log(sure)
    beside = (1 - centre) * (1 - heat) ** 4 * sure**2 * torch.log(1 - sure) * counts
    focal = -(there + beside).sum() / centre.sum().clamp(min=1)
    whole = weight.sum().clamp(min=1)
    moved = F.smooth_l1_loss(answer[:, 1:3], boxes[:, :2], reduction="none", beta=0.3)
    sized = F.smooth_l1_loss(answer[:, 3:5], boxes[:, 2:], reduction="none", beta=0.1)
    loss = focal + ((moved / 1.5 + 2 * sized) * weight[:, None]).sum() / whole
    if answer.shape[1] > 5:
        placed = F.smooth_l1_loss(answer[:, 5:], marks, reduction="none", beta=0.05)
        loss = loss + (placed * marked[:, None]).sum() / marked.sum().clamp(min=1)
    return loss
