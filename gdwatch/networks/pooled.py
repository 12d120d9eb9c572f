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

_EXPLAINED_STAGES = 2  # whose last map Grad-CAM shows: later maps are 3 x 3 or less


class _Block(nn.Module):
    """A residual block of two dense 3x3 convolutions.

    halves: whether it halves the resolution; its shortcut is then average pooling, and the
    channels that the shortcut lacks are zero.
    """

    def __init__(self, inputs: int, outputs: int, *, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.new_channels = outputs - inputs
        stride, padding = (2, 0) if halves else (1, 1)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=padding)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Activations) -> Activations:
        """x: (B, inputs, H, W); returns (B, outputs, H, W), or H // 2 and W // 2 if it halves."""
        if not self.halves:
            return rectified(self.conv2, rectified(self.conv1, x), x)
        # An even side gets one more row or column of zeros, as far as dlib's pooling reaches.
        height, width = x.shape[2:]
        y = rectified(self.conv1, padded(x, (0, 1 - width % 2, 0, 1 - height % 2)))
        return rectified(self.conv2, y, padded(halved(x), (0, 0, 0, 0, 0, self.new_channels)))


class PooledClassifier(Classifier):
    """The residual network of dlib's face recognition, with one logit in place of the embedding.

    Training may start from its published weights, which were trained on three million faces
    (King 2017, http://dlib.net/dnn_face_recognition_ex.cpp.html, CC0). Their batch norms are folded
    already, so it has none.

    widths: channels of each stage; each but the first halves the resolution.
    blocks: residual blocks of each stage.
    dropout: the dropout rate of the embedding, in training.
    nobody: whether it tells nobody, see `Classifier`.
    """

    first_layer = "stem"
    float_layers = ()

    def __init__(
        self,
        *,
        widths: Sequence[int],
        blocks: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
        dropout: float = 0.2,
        nobody: bool = False,
    ) -> None:
        super().__init__(mean, std)
        self.tells_nobody = nobody
        self.stem = nn.Conv2d(3, widths[0], 7, stride=2)
        stages: list[nn.Module] = []
        inputs = widths[0]
        for index, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(count):
                stages.append(_Block(inputs, width, halves=index > 0 and block == 0))
                inputs = width
        self.features = nn.Sequential(*stages)
        self._explained = sum(blocks[:_EXPLAINED_STAGES]) - 1
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(inputs, 1 + nobody)

    def embed(self, photos: Tensor) -> Tensor:  # noqa: D102 - as in Classifier
        x = pixels(photos, 0) if takes_pixels(self.stem) else self.normalised(photos)
        return averaged(self.features(pooled(rectified(self.stem, x))))

    @property
    def normalisation(self) -> Normalisation:
        """How the pixels that `stem` takes are normalised; `stem` pads nothing."""
        return Normalisation(self.scale.flatten(), self.shift.flatten())

    @property
    def evidence(self) -> nn.Module:  # noqa: D102 - as in Classifier
        return self.features[self._explained]

    def logits(self, photos: Tensor) -> Tensor:  # noqa: D102 - as in Classifier
        logits: Tensor = self.head(self.dropout(self.embed(photos)))
        return logits
