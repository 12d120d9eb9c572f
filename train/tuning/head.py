"""Fit the last layer of a classifier: logistic regression that begins with the old weights.

All before the last layer stays as it is: how faces are found, what is nobody, speed, and the ranges
of the 8-bit computation. The objective is convex, so the result depends on nothing but the data.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from train.data.prepared_set import Indices
from train.metrics import Bools, Floats

_SMOOTHING = 0.02  # of the labels: one or two of a hundred are wrong
_STEPS = 60  # more change no answer


@dataclass(frozen=True, slots=True)
class Examples:
    """What the last layer sees of faces.

    seen: float (N, V, D): embeddings of V views of each, and a constant 1.
    factor, offset: float (N,): the calibrated logit of `male` is factor * (seen @ weights) + offset
        for all that the model adds after its last layer.
    """

    seen: Floats
    factor: Floats
    offset: Floats

    def __len__(self) -> int:
        return len(self.seen)

    def select(self, rows: Bools | Indices) -> "Examples":
        """Some of them."""
        return Examples(self.seen[rows], self.factor[rows], self.offset[rows])

    def logits(self, weights: Floats) -> Floats:
        """The calibrated logits of `male` of the first view, as the service sees it; (N,)."""
        told: Floats = self.factor * (self.seen[:, 0] @ weights) + self.offset
        return told


@dataclass(frozen=True, slots=True)
class Strength:
    """How firmly the old weights are held.

    prior: of the squared distance from the old weights.
    rehearsal: weight of each rehearsed face, in own faces.
    """

    prior: float
    rehearsal: float


def fit(own: Examples, male: Bools, rehearsed: Examples, old: Floats, strength: Strength) -> Floats:
    """The weights that fit own labels, and what the old weights say of rehearsed faces; (D,).

    male: (N,), labels of `own`. old: (D,).
    """
    wanted = np.where(male, 1 - _SMOOTHING / 2, _SMOOTHING / 2)
    parts = [
        _Part(own, wanted, 1.0),
        _Part(rehearsed, expit(rehearsed.logits(old)), strength.rehearsal),
    ]

    def loss(weights: Floats) -> tuple[float, Floats]:
        moved = weights - old
        value, slope = strength.prior / 2 * float(moved @ moved), strength.prior * moved
        for part in parts:
            more, its_slope = part.loss(weights)
            value, slope = value + more, slope + its_slope
        return value, slope

    found = minimize(loss, old, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    fitted: Floats = found.x
    return fitted


class _Part:
    """Cross entropy of some faces, the mean over their views. weight: of each face."""

    def __init__(self, faces: Examples, wanted: Floats, weight: float) -> None:
        _, views, width = faces.seen.shape
        self._seen = faces.seen.reshape(-1, width)
        self._factor = np.repeat(faces.factor, views)
        self._offset = np.repeat(faces.offset, views)
        self._wanted = np.repeat(wanted, views)
        self._weight = weight / max(1, views)

    def loss(self, weights: Floats) -> tuple[float, Floats]:
        logits = self._factor * (self._seen @ weights) + self._offset
        value = float(np.sum(np.logaddexp(0, logits) - self._wanted * logits))
        slope = self._seen.T @ (self._factor * (expit(logits) - self._wanted))
        return self._weight * value, self._weight * slope
