"""A classifier that sees a face, and on its own the head, shoulders and body around it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gdwatch.networks.classifier import Classifier
from gdwatch.networks.pooled import PooledClassifier
from gdwatch.networks.surroundings import SurroundingsNetwork

FACE = "face."  # how the names of the face's network begin
_UNIT = 32.0  # pixels; a face of this size has the logarithm 0
_SMALLEST, _LARGEST = -1.5, 2.5  # logarithms of a face's size, between which fusion knows it


def size_in_doublings(sizes: Tensor) -> Tensor:
    """Return how often a face of 32 pixels is to be doubled for these sizes, clipped; (B,)."""
    return torch.log2(sizes.clamp(min=1) / _UNIT).clamp(_SMALLEST, _LARGEST)


class TwoInputClassifier(Classifier):
    """A network for the face and one for its surroundings, fused by the face's size.

    Where the face is small, the surroundings count for more. The logit of `male` is

        (a + b s) face + (c + d s) surroundings,   s = log2(size / 32 pixels), clipped

    and without a face it is the surroundings' alone, times e.

    face: arguments of `PooledClassifier`, which must tell nobody.
    surroundings: arguments of `SurroundingsNetwork`.
    alone_from: pixels of a face's longer side, from which on it is judged by itself, since its
        surroundings tell nothing more; None: no face is.
    """

    tells_nobody = True

    def __init__(
        self,
        *,
        face: Mapping[str, Any],
        surroundings: Mapping[str, Any],
        mean: Sequence[float],
        std: Sequence[float],
        alone_from: float | None = None,
    ) -> None:
        super().__init__(mean, std)
        self.alone_from = alone_from
        self.face: nn.Module = PooledClassifier(**face, mean=mean, std=std)
        self.surroundings = SurroundingsNetwork(**surroundings)
        # a, b, c, d and e; of the face's logit of nobody, of the surroundings', and a constant.
        self.male = nn.Parameter(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0]))
        self.nobody = nn.Parameter(torch.tensor([1.0, 0.0, 0.0]))
        if alone_from is not None:
            # Of a face that is judged by itself: of its two logits, and a constant of nobody.
            self.alone = nn.Parameter(torch.tensor([1.0, 1.0, 0.0]))

    def looks_around(self, sizes: Tensor) -> Tensor:
        """Return which faces' surroundings count. sizes: as in `fused`. Returns bool (B,)."""
        if self.alone_from is None:
            return torch.ones_like(sizes, dtype=torch.bool)
        return sizes < self.alone_from

    def fused(self, face: Tensor, around: Tensor, sizes: Tensor) -> Tensor:
        """Fuse the answers of both networks.

        face, around: float (B, 2), of each: logits of `male` and of nobody; those of surroundings
            that do not count may be anything.
        sizes: float (B,), longer side of each face in pixels of the photograph; 0 without a face.

        All on the CPU, and in float32. Returns float (B, 2).
        """
        male, nobody_ = self.male.float().cpu(), self.nobody.float().cpu()
        has_face = sizes > 0
        s = size_in_doublings(sizes)
        a, b, c, d, e = male
        both = (a + b * s) * face[:, 0] + (c + d * s) * around[:, 0]
        of_face, of_surroundings, constant = nobody_
        nobody = of_face * face[:, 1] + of_surroundings * around[:, 1] + constant
        told = torch.stack(
            (
                torch.where(has_face, both, e * around[:, 0]),
                torch.where(has_face, nobody, around[:, 1]),
            ),
            1,
        )
        if self.alone_from is None:
            return told
        scale, nobody_scale, nobody_constant = self.alone.float().cpu()
        by_itself = torch.stack(
            (scale * face[:, 0], nobody_scale * face[:, 1] + nobody_constant), 1
        )
        return torch.where(self.looks_around(sizes)[:, None], told, by_itself)

    def around(self, surroundings: Tensor) -> Tensor:
        """Judge the surroundings alone: uint8 (B, 3, H, W), RGB, to float (B, 2)."""
        answer: Tensor = self.surroundings(self.normalised(surroundings))
        return answer.float()

    def logits(self, photos: Tensor) -> Tensor:
        """Judge the face alone, as in `Classifier`."""
        assert isinstance(self.face, Classifier)
        return self.face.logits(photos)

    def embed(self, photos: Tensor) -> Tensor:  # noqa: D102 - as in Classifier
        assert isinstance(self.face, Classifier)
        return self.face.embed(photos)

    @property
    def evidence(self) -> nn.Module:  # noqa: D102 - as in Classifier
        assert isinstance(self.face, Classifier)
        return self.face.evidence
