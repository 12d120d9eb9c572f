"""The network that finds faces on a thumbnail."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from gdwatch.networks.layers import Activations, Normalisation, pixels, rectified, takes_pixels

STRIDE = 8  # pixels of the thumbnail to one cell of the answer
UNIT = 32  # pixels; the logarithm of a face's size is 0 at this one
PADDING = 128  # grey, what a thumbnail shows beside its photograph
_SPREAD = 64.0  # pixels are normalised by; their middle is that grey


def _norm_relu(inputs: int, outputs: int, size: int, stride: int, *, folded: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=folded),
        nn.Identity() if folded else nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Block(nn.Module):
    """Two dense 3x3 convolutions and a short cut."""

    def __init__(self, channels: int, *, folded: bool) -> None:
        super().__init__()
        self.first = _norm_relu(channels, channels, 3, 1, folded=folded)
        self.second = _norm_relu(channels, channels, 3, 1, folded=folded)[:2]

    def forward(self, x: Activations) -> Activations:
        return rectified(self.second, self.first(x), x)


class Locator(nn.Module):
    """Every face by its centre (CenterNet, Zhou et al. 2019, arXiv:1904.07850), on a pyramid.

    A stage sees half of what the one before it sees; from the last stage back, each adds what it
    knows (Lin et al. 2017, arXiv:1612.03144), so that small and large faces are told in one map.

    stem: channels after the first convolution, which makes a quarter of the side.
    widths, blocks: channels and residual blocks of each stage; each begins with a halving.
    head: channels in which the stages are added.
    threshold: the score from which a face counts as one.
    folded: without batch norms, see `folding`.
    """

    first = "stem"
    floats = ("lateral.", "out")

    def __init__(
        self,
        *,
        stem: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        head: int,
        threshold: float,
        folded: bool = False,
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.stem = _norm_relu(3, stem, 5, 4, folded=folded)
        self.stages = nn.ModuleList()
        inputs = stem
        for width, count in zip(widths, blocks, strict=True):
            halving = _norm_relu(inputs, width, 3, 2, folded=folded)
            residual = (_Block(width, folded=folded) for _ in range(count))
            self.stages.append(nn.Sequential(halving, *residual))
            inputs = width
        self.lateral = nn.ModuleList(nn.Conv2d(width, head, 1) for width in widths)
        self.added = nn.ReLU(inplace=True)
        self.head = _norm_relu(head, head, 3, 1, folded=folded)
        self.out = nn.Conv2d(head, 5, 1)

    def forward(self, thumbnails: Tensor) -> Tensor:
        """Look for faces.

        thumbnails: uint8 (B, 3, S, S), RGB, S a multiple of 32.

        Returns float (B, 5, S / 8, S / 8), for each cell: the logit that a face's centre lies in
        it, how far the centre is from the cell's (x, y, in cells), and the logarithms of the
        face's width and height, in units of `UNIT` pixels.
        """
        is_plain = takes_pixels(self.stem)
        x = pixels(thumbnails, PADDING) if is_plain else self._normalised(thumbnails)
        x = self.stem(x)
        levels: list[Tensor] = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            levels.append(lateral(x))
        seen = levels.pop()
        while levels:
            seen = levels.pop().add_(F.interpolate(seen, scale_factor=2.0, mode="nearest"))
        answer: Tensor = self.out(self.head(self.added(seen)))
        return answer

    @property
    def normalisation(self) -> Normalisation:
        """Of the pixels that `stem` sees; what is beside a thumbnail becomes 0."""
        scale = torch.full((3,), 1 / _SPREAD)
        return Normalisation(scale, -PADDING * scale, PADDING)

    def _normalised(self, thumbnails: Tensor) -> Tensor:
        x = thumbnails.contiguous(memory_format=torch.channels_last)
        # In place: a copy of so many numbers costs more than a convolution.
        return x.to(next(self.parameters()).dtype, copy=True).sub_(PADDING).div_(_SPREAD)
