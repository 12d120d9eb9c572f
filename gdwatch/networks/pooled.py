"""The residual network of dlib's face recognition, as a classifier."""

from collections.abc import Sequence

from torch import Tensor, nn

from gdwatch.networks.classifier import Classifier
from gdwatch.networks.layers import (
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
