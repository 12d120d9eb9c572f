"""The network for the surroundings of a face as a classifier of its own, as long as it is trained.

The service knows it only as a part of `TwoInputClassifier`.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from gdwatch.networks.classifier import Classifier
from gdwatch.networks.surroundings import SurroundingsNetwork


class SurroundingsClassifier(Classifier):
    """A `SurroundingsNetwork` with its normalisation; the arguments are that network's."""

    tells_nobody = True

    def __init__(
        self,
        *,
        stem: int,
        stages: Sequence[tuple[int, int, int, int]],
        head: int,
        mean: Sequence[float],
        std: Sequence[float],
        dropout: float = 0.3,
    ) -> None:
        super().__init__(mean, std)
        self.surroundings = SurroundingsNetwork(
            stem=stem, stages=stages, head=head, dropout=dropout
        )

    @property
    def head(self) -> nn.Linear:
        """The last layer."""
        return self.surroundings.head

    def logits(self, photos: Tensor) -> Tensor:  # noqa: D102 - as in Classifier
        logits: Tensor = self.surroundings(self.normalised(photos))
        return logits
