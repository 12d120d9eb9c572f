"""The base class of all classifiers: uint8 photographs in, logits out.

Pixels are normalised inside the network. Intermediate results are overwritten in place: on small
networks, allocating new memory costs a tenth of the time.
"""

import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

NEVER = -30.0  # logit of nobody from a network that always takes what it sees for somebody


class Classifier(nn.Module):
    """The base class of all classifiers.

    mean, std: of the channels of the training pictures, RGB, pixels scaled to 0 to 1.
    precision: the dtype of the computation after the normalisation, see `in_precision`.
    allows_reduced_precision: whether it may compute in less than float32.
    tells_nobody: whether it also says that what it sees is nobody: the last column of `logits`.
    """

    precision = torch.float32
    allows_reduced_precision = True
    tells_nobody = False

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        # Not persistent: the model file stores mean and std in `preprocessing`, and only there.
        self.scale: Tensor
        self.shift: Tensor
        # Computed without torch, whose arithmetic on the device `meta` takes a second to import.
        scale = [1 / (255 * deviation) for deviation in std]
        shift = [-average / deviation for average, deviation in zip(mean, std, strict=True)]
        self.register_buffer("scale", torch.tensor(scale).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", torch.tensor(shift).view(3, 1, 1), persistent=False)

    def forward(self, photos: Tensor) -> Tensor:
        """Classify a batch of photographs.

        photos: uint8 (B, 3, H, W), RGB.

        Returns float (B, 2): the mean logit of `male` of all members, given that somebody is there,
        not divided by the temperature; and the logit that nobody is there.
        """
        logits = self.logits(photos)
        if self.tells_nobody:
            return torch.stack((logits[:, :-1].mean(1), logits[:, -1]), 1)
        male = logits.mean(1)
        return torch.stack((male, torch.full_like(male, NEVER)), 1)

    def logits(self, photos: Tensor) -> Tensor:
        """Return the logit of `male` of each member; training fits each of them.

        photos: as in `forward`.

        Returns float (B, M), M being the members of an ensemble, or 1; with one more column, the
        logit of nobody, where the network tells that.
        """
        raise NotImplementedError

    def embed(self, photos: Tensor) -> Tensor:
        """Return the embedding, which the last layer takes: float (B, D).

        photos: as in `forward`.
        """
        raise NotImplementedError

    @property
    def evidence(self) -> nn.Module:
        """The layer whose feature map Grad-CAM shows: late, but not yet too coarse."""
        raise NotImplementedError

    def normalised(self, photos: Tensor) -> Tensor:
        """Return normalised photographs, about -2 to 2: float (B, 3, H, W), channels last.

        photos: as in `forward`.
        """
        x = photos.contiguous(memory_format=torch.channels_last).to(self.scale.dtype, copy=True)
        return x.mul_(self.scale).add_(self.shift).to(self.precision)

    def in_precision(self, precision: torch.dtype) -> Self:
        """Return a copy that computes in this precision; the normalisation keeps its own."""
        converted = copy.deepcopy(self).to(precision)
        for own, new in zip(self.modules(), converted.modules(), strict=True):  # members, too
            if isinstance(own, Classifier) and isinstance(new, Classifier):
                new.scale, new.shift, new.precision = own.scale, own.shift, precision
        return converted
