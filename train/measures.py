"""How good answers are: pure functions of probabilities and labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_BINS = 15  # as in Guo et al. 2017, arXiv:1706.04599, from which the temperature is too
_TEMPERATURES = (0.05, 20.0)  # outside of these a network is broken, not badly calibrated
_FEWEST = 0.05  # share of the pictures that a threshold must accept, lest it be chance


@dataclass(frozen=True, slots=True)
class Measures:
    """How good a model is on some pictures; all but `pictures` are shares, 0 to 1.

    expected_calibration_error: mean distance of confidence and accuracy.
    coverage: how many are as sure as the model's min_confidence.
    accepted_accuracy: of those; None where there are none.
    """

    pictures: int
    balanced_accuracy: float
    accuracy: float
    expected_calibration_error: float
    coverage: float
    accepted_accuracy: float | None


@dataclass(frozen=True, slots=True)
class Threshold:
    """The least confidence that is accepted, 0.5 to 1, and the accuracy of what it accepts."""

    min_confidence: float
    accuracy: float


def measure(p_male: Floats, male: Bools, min_confidence: float) -> Measures:
    """Judge answers by the labels. p_male, male: (N,), N ≥ 1."""
    said_male = p_male > 0.5
    right = said_male == male
    accepted = confidence(p_male) >= min_confidence
    return Measures(
        pictures=len(male),
        balanced_accuracy=balanced_accuracy(said_male, male),
        accuracy=float(right.mean()),
        expected_calibration_error=expected_calibration_error(p_male, male),
        coverage=float(accepted.mean()),
        accepted_accuracy=float(right[accepted].mean()) if accepted.any() else None,
    )


def confidence(p_male: Floats) -> Floats:
    """The probability of the class that is more probable, 0.5 to 1."""
    return np.maximum(p_male, 1 - p_male)


def probabilities(logits: Floats, temperature: float) -> Floats:
    """The probability of `male` for each logit, (N,)."""
    return 1 / (1 + np.exp(-logits / temperature))


def balanced_accuracy(said_male: Bools, male: Bools) -> float:
    """Mean of the two classes' recall; of one class alone its recall. Both (N,), N ≥ 1."""
    recalls = [float(np.mean(said_male[male == value] == value)) for value in np.unique(male)]
    return sum(recalls) / len(recalls)


def expected_calibration_error(p_male: Floats, male: Bools) -> float:
    """Mean over the pictures of |accuracy - confidence| of their bin of equal width."""
    sure = confidence(p_male)
    right = (p_male > 0.5) == male
    bins = np.minimum(((sure - 0.5) * 2 * _BINS).astype(np.int64), _BINS - 1)
    error = 0.0
    for number in np.unique(bins):
        inside = bins == number
        error += float(inside.mean() * abs(right[inside].mean() - sure[inside].mean()))
    return error


def fit_temperature(logits: Floats, male: Bools) -> float:
    """The temperature of the least mean log loss; the search is bounded, its function convex."""
    low, high = 1 / _TEMPERATURES[1], 1 / _TEMPERATURES[0]
    for _ in range(100):  # each leaves two thirds of the interval
        one, two = low + (high - low) / 3, high - (high - low) / 3
        if _log_loss(logits * one, male) < _log_loss(logits * two, male):
            high = two
        else:
            low = one
    return 2 / (low + high)


def choose_threshold(p_male: Floats, male: Bools, accuracy: float) -> Threshold:
    """The least confidence whose accepted pictures reach an accuracy; if none does, the best one.

    p_male, male: (N,), N ≥ 1, of pictures that the network did not learn from.
    """
    sure = confidence(p_male)
    order = np.argsort(-sure, kind="stable")
    sure = sure[order]
    reached = np.cumsum(((p_male > 0.5) == male)[order]) / np.arange(1, len(sure) + 1)
    # Pictures of one confidence are accepted together, so only the last of them counts.
    last = np.append(sure[1:] != sure[:-1], True)
    last[: int(len(sure) * _FEWEST)] = False
    candidates = np.flatnonzero(last)
    enough = candidates[reached[candidates] >= accuracy]
    chosen = enough[-1] if len(enough) else candidates[np.argmax(reached[candidates])]
    return Threshold(float(sure[chosen]), float(reached[chosen]))


def _log_loss(logits: Floats, male: Bools) -> float:
    return float(np.mean(np.logaddexp(0, np.where(male, -logits, logits))))
