"""Residual networks of dense 3x3 convolutions, alone and as an ensemble."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gdwatch.networks.classifier import Classifier


class Residual(nn.Module):
    """A residual block of two dense 3x3 convolutions (He et al. 2016, arXiv:1512.03385)."""

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


def _downsampling(inputs: int, outputs: int, *, folded: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=folded),
        nn.Identity() if folded else nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ResidualClassifier(Classifier):
    """A small residual network of dense 3x3 convolutions, the fastest kind on a CPU core.

    stem: channels of the first convolution, which halves the resolution.
    widths: channels of each later stage, which begins by halving the resolution.
    blocks: residual blocks of each stage.
    dropout: the dropout rate of the embedding, in training.
    folded: whether to build it without batch norms, see `folding`.
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
        stages: list[nn.Module] = [_downsampling(3, stem, folded=folded)]
        inputs = stem
        for width, count in zip(widths, blocks, strict=True):
            stages.append(_downsampling(inputs, width, folded=folded))
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


class EnsembleClassifier(Classifier):
    """An ensemble of residual networks; its logit is the mean of theirs.

    members: how many networks; the other arguments are those of `ResidualClassifier`.
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
        """The layer of the first member, which stands for all."""
        return self._members()[0].evidence

    def logits(self, photos: Tensor) -> Tensor:  # noqa: D102 - as in Classifier
        return torch.cat([member.logits(photos) for member in self._members()], 1)

    def _members(self) -> list[ResidualClassifier]:
        return [member for member in self.members if isinstance(member, ResidualClassifier)]
