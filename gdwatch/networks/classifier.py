"""What all classifiers have in common: photographs as uint8 in, one logit out.

Normalisation lives inside. What has just been computed is changed in place: on small networks, new
memory costs a tenth.
"""

import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn


class Classifier(nn.Module):
    """What all networks have in common.

    mean, std: of the training pictures, in 0 to 1, RGB.
    """

    precision = torch.float32  # of what it computes in, see `in_precision`
    allows_reduced_precision = True

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        # Not persistent: they stand in the model file's `preprocessing`, in one place only.
        self.scale: Tensor
        self.shift: Tensor
        # Worked out without torch: on the device `meta`, sums take a second to import.
        scale = [1 / (255 * spread) for spread in std]
        shift = [-middle / spread for middle, spread in zip(mean, std, strict=True)]
        self.register_buffer("scale", torch.tensor(scale).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(shift).view(3, 1, 1), persistent=False)

    def forward(self, photos: Tensor) -> Tensor:
        """Judge a batch.

        photos: uint8 (B, 3, H, W), RGB.

        Returns float (B,): the logit of `male`, not yet divided by the temperature.
        """
        return self.logits(photos).mean(1)

    def logits(self, photos: Tensor) -> Tensor:
        """The logit of every member, float (B, M), each to be learnt by; M is 1 but of ensembles.

        photos: as in `forward`.
        """
        raise NotImplementedError

    def embed(self, photos: Tensor) -> Tensor:
        """What the last layer decides by, float (B, D). photos: as in `forward`."""
        raise NotImplementedError

    @property
    def evidence(self) -> nn.Module:
        """The layer whose map shows where the network looked: late, but not yet too coarse."""
        raise NotImplementedError

    def normalised(self, photos: Tensor) -> Tensor:
        """The photographs, about -2 to 2, float (B, 3, H, W), channels last in memory."""
        x = photos.contiguous(memory_format=torch.channels_last).to(self.scale.dtype, copy=True)
        return x.mul_(self.scale).add_(self.shift).to(self.precision)

    def in_precision(self, precision: torch.dtype) -> Self:
        """A copy that computes in this precision, but for the normalisation."""
        half = copy.deepcopy(self).to(precision)
        for full, each in zip(self.modules(), half.modules(), strict=True):  # members, too
            if isinstance(full, Classifier) and isinstance(each, Classifier):
                each.scale, each.shift, each.precision = full.scale, full.shift, precision
        return half
