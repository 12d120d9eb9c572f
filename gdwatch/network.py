"""The networks: photographs as uint8 in, one logit out. Normalisation lives inside.

What has just been computed is changed in place: on small networks, new memory costs a tenth.
"""

import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gdwatch.layers import (
    Activations,
    Normalisation,
    averaged,
    halved,
    padded,
    pixels,
    pooled,
    rectified,
    takes_pixels,
)


class Classifier(nn.Module):
    """What all networks have in common.

    mean, std: of the training pictures, in 0 to 1, RGB.
    """

    precision = torch.float32  # of what it computes in, see `in_precision`
    may_be_halved = True

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


class Residual(nn.Module):
    """Two dense 3x3 convolutions and a short cut (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, channels: int, *, folded: bool) -> None:
        super().__init__()
        self.conv1: nn.Module = nn.Conv2d(channels, channels, 3, padding=1, bias=folded)
        self.norm1: nn.Module = nn.Identity() if folded else nn.BatchNorm2d(channels)
        self.conv2: nn.Module = nn.Conv2d(channels, channels, 3, padding=1, bias=folded)
        self.norm2: nn.Module = nn.Identity() if folded else nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, channels, H, W); returns the same shape."""
        y = torch.relu_(self.norm1(self.conv1(x)))
        return torch.relu_(self.norm2(self.conv2(y)).add_(x))


def _halving(inputs: int, outputs: int, *, folded: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=folded),
        nn.Identity() if folded else nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ResidualClassifier(Classifier):
    """A small residual network of dense 3x3 convolutions, the fastest kind on a CPU core.

    stem: channels after the first halving of the picture.
    widths: channels of each later stage; each begins with a halving.
    blocks: residual blocks of each stage.
    dropout: of what the last layer sees, while it learns.
    folded: without batch norms, see `fold`.
    """

    def __init__(
        self,
        *,
        stem: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
        dropout: float = 0.2,
        folded: bool = False,
    ) -> None:
        super().__init__(mean, std)
        stages: list[nn.Module] = [_halving(3, stem, folded=folded)]
        inputs = stem
        for width, count in zip(widths, blocks, strict=True):
            stages.append(_halving(inputs, width, folded=folded))
            stages.extend(Residual(width, folded=folded) for _ in range(count))
            inputs = width
        self.features = nn.Sequential(*stages)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(inputs, 1)

    def embed(self, photos: Tensor) -> Tensor:  # noqa: D102 - as in Classifier
        x: Tensor = self.features(self.normalised(photos))
        return x.mean((2, 3))

    @property
    def evidence(self) -> nn.Module:  # noqa: D102 - as in Classifier
        return self.features

    def logits(self, photos: Tensor) -> Tensor:  # noqa: D102 - as in Classifier
        logits: Tensor = self.head(self.dropout(self.embed(photos)))
        return logits


def fold(network: nn.Module) -> None:
    """Work each batch norm into the convolution before it: the same answers, in less time.

    The network is in evaluation mode from then on: it cannot learn any more.
    """
    network.eval()
    for module in network.modules():
        if isinstance(module, Residual):
            module.conv1, module.norm1 = _fused(module.conv1, module.norm1)
            module.conv2, module.norm2 = _fused(module.conv2, module.norm2)
        elif isinstance(module, nn.Sequential) and isinstance(module[0], nn.Conv2d):
            module[0], module[1] = _fused(module[0], module[1])


def _fused(convolution: nn.Module, norm: nn.Module) -> tuple[nn.Module, nn.Module]:
    if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        return fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return convolution, norm


class EnsembleClassifier(Classifier):
    """Several residual networks, each with its own opinion; the answer is their mean logit.

    members: how many; the other arguments are those of `ResidualClassifier`.
    """

    def __init__(
        self,
        *,
        members: int,
        stem: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
        dropout: float = 0.2,
        folded: bool = False,
    ) -> None:
        super().__init__(mean, std)
        self.members = nn.ModuleList(
            ResidualClassifier(
                stem=stem,
                widths=widths,
                blocks=blocks,
                mean=mean,
                std=std,
                dropout=dropout,
                folded=folded,
            )
            for _ in range(members)
        )

    def embed(self, photos: Tensor) -> Tensor:  # noqa: D102 - as in Classifier
        return torch.cat([member.embed(photos) for member in self._members()], 1)

    @property
    def evidence(self) -> nn.Module:
        """The first member's: that of one must stand for all."""
        return self._members()[0].evidence

    def logits(self, photos: Tensor) -> Tensor:  # noqa: D102 - as in Classifier
        return torch.cat([member.logits(photos) for member in self._members()], 1)

    def _members(self) -> list[ResidualClassifier]:
        return [member for member in self.members if isinstance(member, ResidualClassifier)]


class SeedClassifier(Classifier):
    """The network of the program that gdwatch replaces: 3x3 convolutions, without padding.

    input: side of the square, pixels; it is fixed by the first linear layer.
    stages: channels of each convolution; each stage ends with a pooling.
    grey: sees the luma (ITU-R BT.601) alone.
    """

    may_be_halved = False  # it is there to answer as that program did

    def __init__(
        self,
        *,
        input: int,
        stages: Sequence[Sequence[int]],
        grey: bool,
        mean: Sequence[float],
        std: Sequence[float],
        dropout: float = 0.2,
    ) -> None:
        super().__init__(mean, std)
        self.luma: Tensor
        self.register_buffer(
            "luma", torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1), persistent=False
        )
        self.grey = grey
        layers: list[nn.Module] = []
        inputs, side = 1 if grey else 3, input
        for stage in stages:
            for width in stage:
                layers += [nn.Conv2d(inputs, width, 3), nn.ReLU()]
                inputs, side = width, side - 2
            layers.append(nn.MaxPool2d(2))
            side //= 2
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(inputs * side * side, 512),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(512, 2)

    def embed(self, photos: Tensor) -> Tensor:  # noqa: D102 - as in Classifier
        x = self.normalised(photos)
        if self.grey:
            x = (x * self.luma).sum(1, keepdim=True)
        embedding: Tensor = self.hidden(self.features(x))
        return embedding

    @property
    def evidence(self) -> nn.Module:  # noqa: D102 - as in Classifier
        return self.features

    def logits(self, photos: Tensor) -> Tensor:  # noqa: D102 - as in Classifier
        # The softmax of two scores is the sigmoid of their difference.
        scores: Tensor = self.head(self.embed(photos))
        return scores[:, 1:] - scores[:, :1]


_EXPLAINED = 2  # stages of a pooled network: the maps of later ones are 3 x 3 or less


class _Pooled(nn.Module):
    """Two dense 3x3 convolutions; a halving block's short cut is a mean, new channels are zero."""

    def __init__(self, inputs: int, outputs: int, *, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.more = outputs - inputs
        stride, padding = (2, 0) if halves else (1, 1)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=padding)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Activations) -> Activations:
        """x: (B, inputs, H, W); returns (B, outputs, H // 2, W // 2) if it halves, or H, W."""
        if not self.halves:
            return rectified(self.conv2, rectified(self.conv1, x), x)
        # An even side needs one more row, below and on the right: where dlib's pooling looks.
        height, width = x.shape[2:]
        y = rectified(self.conv1, padded(x, (0, 1 - width % 2, 0, 1 - height % 2)))
        return rectified(self.conv2, y, padded(halved(x), (0, 0, 0, 0, 0, self.more)))


class PooledClassifier(Classifier):
    """The residual network of dlib's face recognition, with one logit in its embedding's place.

    Its published weights (King 2017, http://dlib.net/dnn_face_recognition_ex.cpp.html, CC0) may
    begin a training: they have seen three million faces. Norms are folded from the start.

    widths: channels of each stage; each but the first begins with a halving.
    blocks: residual blocks of each stage.
    dropout: of what the last layer sees, while it learns.
    """

    first = "stem"
    floats = ()

    def __init__(
        self,
        *,
        widths: Sequence[int],
        blocks: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
        dropout: float = 0.2,
    ) -> None:
        super().__init__(mean, std)
        self.stem = nn.Conv2d(3, widths[0], 7, stride=2)
        stages: list[nn.Module] = []
        inputs = widths[0]
        for number, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(count):
                stages.append(_Pooled(inputs, width, halves=number > 0 and block == 0))
                inputs = width
        self.features = nn.Sequential(*stages)
        self._explained = sum(blocks[:_EXPLAINED]) - 1
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(inputs, 1)

    def embed(self, photos: Tensor) -> Tensor:  # noqa: D102 - as in Classifier
        x = pixels(photos, 0) if takes_pixels(self.stem) else self.normalised(photos)
        return averaged(self.features(pooled(rectified(self.stem, x))))

    @property
    def normalisation(self) -> Normalisation:
        """Of the pixels that `stem` sees; it pads nothing."""
        return Normalisation(self.scale.flatten(), self.shift.flatten())

    @property
    def evidence(self) -> nn.Module:  # noqa: D102 - as in Classifier
        return self.features[self._explained]

    def logits(self, photos: Tensor) -> Tensor:  # noqa: D102 - as in Classifier
        logits: Tensor = self.head(self.dropout(self.embed(photos)))
        return logits


ARCHITECTURES: dict[str, type[Classifier]] = {
    "residual": ResidualClassifier,
    "ensemble": EnsembleClassifier,
    "pooled": PooledClassifier,
    "seed": SeedClassifier,
}
