"""A small network for what surrounds a face: the first stages of MobileNetV2."""

from collections.abc import Sequence

from torch import Tensor, nn


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, folded: bool
) -> nn.Sequential:
    """A convolution with its batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=folded),
        nn.Identity() if folded else nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _InvertedResidual(nn.Module):
    """Widens the channels, convolves each on its own, and narrows them again."""

    def __init__(
        self, inputs: int, outputs: int, *, stride: int, expansion: int, folded: bool
    ) -> None:
        super().__init__()
        self.adds = stride == 1 and inputs == outputs
        hidden = inputs * expansion
        steps: list[nn.Module] = []
        if expansion > 1:
            steps.append(_convolution(inputs, hidden, 1, folded=folded))
        steps += [
            _convolution(hidden, hidden, 3, stride=stride, groups=hidden, folded=folded),
            nn.Conv2d(hidden, outputs, 1, bias=folded),
            nn.Identity() if folded else nn.BatchNorm2d(outputs),
        ]
        self.conv = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y.add_(x) if self.adds else y


class SurroundingsNetwork(nn.Module):
    """MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381) up to a stage, with two logits.

    Its parameters are named as torchvision's, whose published weights it can begin with; a plain
    ReLU is in the place of ReLU6.

    stem: channels of the first convolution, which has a stride of 2.
    stages: of each, the expansion, the channels, the blocks, and the stride of the first block.
    head: channels of the last convolution, whose mean is the embedding.
    dropout: the dropout rate of the embedding, in training.
    folded: whether to build it without batch norms, see `folding`.
    """

    def __init__(
        self,
        *,
        stem: int,
        stages: Sequence[tuple[int, int, int, int]],
        head: int,
        dropout: float = 0.3,
        folded: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(3, stem, 3, stride=2, folded=folded)]
        inputs = stem
        for expansion, outputs, count, stride in stages:
            for block in range(count):
                layers.append(
                    _InvertedResidual(
                        inputs,
                        outputs,
                        stride=stride if block == 0 else 1,
                        expansion=expansion,
                        folded=folded,
                    )
                )
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.last = _convolution(inputs, head, 1, folded=folded)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(head, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Judge what surrounds a face.

        x: float (B, 3, H, W), normalised.

        Returns float (B, 2): the logit of `male`, and the logit that nobody is there.
        """
        embedding = self.last(self.features(x)).mean((2, 3))
        logits: Tensor = self.head(self.dropout(embedding))
        return logits
