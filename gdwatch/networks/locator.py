"""The network that finds faces on a thumbnail."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from gdwatch.networks.layers import Activations, Normalisation, pixels, rectified, takes_pixels

STRIDE = 8  # pixels of the thumbnail per cell of the output
UNIT = 32  # pixels; a face of this size has the logarithm 0
PADDING = 128  # pixel value of the grey that a thumbnail is padded with
LANDMARKS = 5  # of a face: both eyes, the nose, both corners of the mouth
_SPREAD = 64.0  # pixel levels that normalisation maps to 1; PADDING becomes 0


def _conv_norm_relu(
    inputs: int, outputs: int, kernel: int, stride: int, *, folded: bool
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=folded),
        nn.Identity() if folded else nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _Block(nn.Module):
    """A residual block of two dense 3x3 convolutions."""

    def __init__(self, channels: int, *, folded: bool) -> None:
        super().__init__()
        self.first = _conv_norm_relu(channels, channels, 3, 1, folded=folded)
        self.second = _conv_norm_relu(channels, channels, 3, 1, folded=folded)[:2]

    def forward(self, x: Activations) -> Activations:
        return rectified(self.second, self.first(x), x)


class Locator(nn.Module):
    """Detects faces by their centres (CenterNet, Zhou et al. 2019, arXiv:1904.07850).

    Each stage halves the resolution. A feature pyramid (Lin et al. 2017, arXiv:1612.03144) adds the
    maps of all stages, from the coarsest to the finest: one map shows small and large faces.

    stem: channels of the first convolution, which has a stride of 4.
    widths, blocks: channels and residual blocks of each stage; each begins with a stride of 2.
    head: channels of the pyramid.
    threshold: the least score of a face, 0 to 1.
    landmarks: whether it places the landmarks of each face, too.
    folded: whether to build it without batch norms, see `folding`.
    """

    first_layer = "stem"
    float_layers = ("lateral.", "out")

    def __init__(
        self,
        *,
        stem: int,
        widths: Sequence[int],
        blocks: Sequence[int],
        head: int,
        threshold: float,
        landmarks: bool = False,
        folded: bool = False,
    ) -> None:
        super().__init__()
        self.threshold = threshold
        self.stem = _conv_norm_relu(3, stem, 5, 4, folded=folded)
        self.stages = nn.ModuleList()
        inputs = stem
        for width, count in zip(widths, blocks, strict=True):
            halving = _conv_norm_relu(inputs, width, 3, 2, folded=folded)
            residual = (_Block(width, folded=folded) for _ in range(count))
            self.stages.append(nn.Sequential(halving, *residual))
            inputs = width
        self.lateral = nn.ModuleList(nn.Conv2d(width, head, 1) for width in widths)
        self.added = nn.ReLU(inplace=True)
        self.head = _conv_norm_relu(head, head, 3, 1, folded=folded)
        self.out = nn.Conv2d(head, 5 + 2 * LANDMARKS * landmarks, 1)

    def forward(self, thumbnails: Tensor) -> Tensor:
        """Detect faces.

        thumbnails: uint8 (B, 3, S, S), RGB, S a multiple of 32.

        Returns float (B, 5 or 15, S / 8, S / 8). For each cell: the logit that a face's centre lies
        in it, the offset of that centre from the cell's own (x, y, in cells), and the logarithms of
        the face's width and height in units of `UNIT` pixels. Then, if it places landmarks, the
        offset of each from the face's centre (x, y, as shares of its width and height).
        """
        is_raw = takes_pixels(self.stem)
        x = pixels(thumbnails, PADDING) if is_raw else self._normalised(thumbnails)
        x = self.stem(x)
        levels: list[Tensor] = []
        for stage, lateral in zip(self.stages, self.lateral, strict=True):
            x = stage(x)
            levels.append(lateral(x))
        merged = levels.pop()
        while levels:
            merged = levels.pop().add_(F.interpolate(merged, scale_factor=2.0, mode="nearest"))
        answer: Tensor = self.out(self.head(self.added(merged)))
        return answer

    @property
    def normalisation(self) -> Normalisation:
        """How the pixels that `stem` takes are normalised; the padding of a thumbnail becomes 0."""
        scale = torch.full((3,), 1 / _SPREAD)
        return Normalisation(scale, -PADDING * scale, PADDING)

    def _normalised(self, thumbnails: Tensor) -> Tensor:
        x = thumbnails.contiguous(memory_format=torch.channels_last)
        # In place: another copy of so many numbers would cost more than a convolution.
        return x.to(next(self.parameters()).dtype, copy=True).sub_(PADDING).div_(_SPREAD)
