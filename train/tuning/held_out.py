"""Answers for pictures that were not learnt from: nested cross-validation.

With a hundred pictures, a test part of eight would show nothing. Each picture is judged by weights
that have learnt from neither it, nor a copy of it, nor another picture of the same person; how
firmly the old weights are held is chosen without it as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from train.data.prepared_set import Indices
from train.metrics import Bools, Floats
from train.tuning.head import Examples, Strength, fit

_FOLDS, _INNER = 5, 3
# From firm to loose; the first is to leave everything as it is.
STRENGTHS: tuple[Strength | None, ...] = (
    None,
    Strength(prior=30, rehearsal=3.0),
    Strength(prior=3, rehearsal=3.0),
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is learnt from. male, group: (N,), of `own`; old: the weights to begin with, (D,)."""

    own: Examples
    male: Bools
    group: Indices
    rehearsed: Examples
    old: Floats

    def select(self, rows: Indices) -> "Lesson":
        """Some of the pictures."""
        return Lesson(
            self.own.select(rows), self.male[rows], self.group[rows], self.rehearsed, self.old
        )

    def fit(self, strength: Strength | None) -> Floats:
        """The weights for a strength, (D,)."""
        if strength is None:
            return self.old
        return fit(self.own, self.male, self.rehearsed, self.old, strength)


def held_out_logits(lesson: Lesson) -> Floats:
    """The calibrated logit of each picture by weights that were chosen and fitted without it."""
    logits = np.zeros(len(lesson.male))
    for learnt, held_out in _folds(lesson, _FOLDS):
        some = lesson.select(learnt)
        logits[held_out] = lesson.own.select(held_out).logits(some.fit(choose(some)))
    return logits


def choose(lesson: Lesson) -> Strength | None:
    """The strength with the least log loss of pictures that were not learnt from."""
    loss = np.zeros(len(STRENGTHS))
    for learnt, held_out in _folds(lesson, _INNER):
        some, asked = lesson.select(learnt), lesson.select(held_out)
        loss += [_log_loss(asked, some.fit(strength)) for strength in STRENGTHS]
    return STRENGTHS[int(np.argmin(loss))]  # the firmest of equal ones


def _folds(lesson: Lesson, count: int) -> Iterator[tuple[Indices, Indices]]:
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=0)
    yield from folds.split(np.zeros(len(lesson.male)), lesson.male, lesson.group)


def _log_loss(asked: Lesson, weights: Floats) -> float:
    logits = asked.own.logits(weights)
    return float(np.sum(np.logaddexp(0, np.where(asked.male, -logits, logits))))
