"""The classifier of the program that gdwatch replaces."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gdwatch.networks.classifier import Classifier


class SeedClassifier(Classifier):
    """The classifier of the program that gdwatch replaces: 3x3 convolutions, without padding.

    input: side of the square, pixels; the first linear layer fixes it.
    stages: channels of each convolution; each stage ends with max pooling.
    grey: whether it sees only the luma (ITU-R BT.601).
    dropout: the dropout rate before and after the hidden layer, in training.
    """

    allows_reduced_precision = False  # its answers must be those of that program

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
