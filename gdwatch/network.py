"""The networks: photographs as uint8 in, one logit out. Normalisation lives inside."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Two dense 3x3 convolutions and a short cut (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, channels, H, W); returns the same shape."""
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(x + self.norm2(self.conv2(y)))


def _halving(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class ResidualClassifier(nn.Module):
    """A small residual network of dense 3x3 convolutions, the fastest kind on a CPU core.

    stem: channels after the first halving of the picture.
    widths: channels of each later stage; each begins with a halving.
    blocks: residual blocks of each stage.
    mean, std: of the training pictures, in 0 to 1, RGB.
    """

    def __init__(
        self,
        *,
        stem: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        stages: list[nn.Module] = [_halving(3, stem)]
        inputs = stem
        for width, count in zip(widths, blocks, strict=True):
            stages.append(_halving(inputs, width))
            stages.extend(Residual(width) for _ in range(count))
            inputs = width
        self.features = nn.Sequential(*stages)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(inputs, 1)
        # Not persistent: they stand in the model file's `preprocessing`, in one place only.
        self.scale: Tensor
        self.shift: Tensor
        self.register_buffer("scale", 1 / (255 * torch.tensor(std)).view(3, 1, 1), persistent=False)
        self.register_buffer("shift", (-torch.tensor(mean) / torch.tensor(std)).view(3, 1, 1),
                             persistent=False)  # fmt: skip

    def forward(self, photos: Tensor) -> Tensor:
        """Judge a batch.

        photos: uint8 (B, 3, H, W), RGB.

        Returns float (B,): the logit of `male`, not yet divided by the temperature.
        """
        x = photos.to(self.head.weight.dtype) * self.scale + self.shift
        x = self.features(x.contiguous(memory_format=torch.channels_last))
        logits: Tensor = self.head(self.dropout(x.mean((2, 3))))[:, 0]
        return logits


ARCHITECTURES: dict[str, type[nn.Module]] = {"residual": ResidualClassifier}
