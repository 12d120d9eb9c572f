"""How good answers are: pure functions of probabilities and labels."""

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, roc_auc_score

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_BINS = 15  # as in Guo et al. 2017, arXiv:1706.04599, from which the temperature is too
_TEMPERATURES = (0.05, 20.0)  # outside of these a network is broken, not badly calibrated
_RESAMPLES = 2000
_THRESHOLDS = (*np.linspace(0.5, 0.99, 50).round(2), 0.995, 0.999)
_FEWEST = 0.05  # share of the pictures that a threshold must accept, lest it be chance


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many pictures of each class were said to be what."""

    female_as_female: int
    female_as_male: int
    male_as_female: int
    male_as_male: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a least confidence accepts: the share of the pictures, and how many of it are right."""

    min_confidence: float
    coverage: float
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Measures:
    """How good a model is on some pictures; all but counts are shares, 0 to 1.

    balanced_interval: of the balanced accuracy, 95 % by bootstrap.
    roc_auc: None where there is one class alone.
    expected_calibration_error: mean distance of confidence and accuracy.
    coverage: how many are as sure as the model's min_confidence.
    accepted_accuracy: of those; None where there are none.
    curve: the same for every other min_confidence.
    """

    pictures: int
    balanced_accuracy: float
    balanced_interval: tuple[float, float]
    accuracy: float
    roc_auc: float | None
    confusion: Confusion
    expected_calibration_error: float
    coverage: float
    accepted_accuracy: float | None
    curve: tuple[Accepted, ...]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The least confidence that is accepted, 0.5 to 1, and the accuracy of what it accepts."""

    min_confidence: float
    accuracy: float


def measure(p_male: Floats, male: Bools, min_confidence: float) -> Measures:
    """Judge answers by the labels. p_male, male: (N,), N ≥ 1."""
    said_male = p_male > 0.5
    confusion = confuse(said_male, male)
    at_model = accepted(p_male, male, min_confidence)
    return Measures(
        pictures=len(male),
        balanced_accuracy=balanced_accuracy(said_male, male),
        balanced_interval=bootstrap(confusion),
        accuracy=float((said_male == male).mean()),
        roc_auc=float(roc_auc_score(male, p_male)) if len(np.unique(male)) == 2 else None,
        confusion=confusion,
        expected_calibration_error=expected_calibration_error(p_male, male),
        coverage=at_model.coverage,
        accepted_accuracy=at_model.accuracy,
        curve=tuple(accepted(p_male, male, float(least)) for least in _THRESHOLDS),
    )


def accepted(p_male: Floats, male: Bools, min_confidence: float) -> Accepted:
    """What is accepted with at least this confidence."""
    sure = confidence(p_male) >= min_confidence
    right = ((p_male > 0.5) == male)[sure]
    return Accepted(min_confidence, float(sure.mean()), float(right.mean()) if len(right) else None)


def confuse(said_male: Bools, male: Bools) -> Confusion:
    """Count the answers by class. Both (N,)."""
    counts = confusion_matrix(male, said_male, labels=[False, True])
    return Confusion(*(int(count) for count in counts.ravel()))


def bootstrap(confusion: Confusion) -> tuple[float, float]:
    """Where the balanced accuracy lies with 95 %: percentiles of resampled pictures (Efron 1979).

    Drawing pictures anew with replacement draws their four counts from a multinomial.
    """
    counts = np.array(astuple(confusion))
    drawn = np.random.default_rng(0).multinomial(counts.sum(), counts / counts.sum(), _RESAMPLES)
    right, all_ = drawn[:, [0, 3]], drawn.reshape(-1, 2, 2).sum(2)
    recalls = np.divide(right, all_, out=np.full(right.shape, np.nan), where=all_ > 0)
    low, high = np.percentile(np.nanmean(recalls, 1), [2.5, 97.5])
    return float(low), float(high)


def mcnemar(right: Bools, other_right: Bools) -> float:
    """The chance of so uneven a score of two equally good models, on the same pictures.

    The exact test of McNemar 1947: only pictures that one alone got right count. Both (N,).
    """
    one, other = int((right & ~other_right).sum()), int((other_right & ~right).sum())
    return float(binomtest(one, one + other).pvalue) if one + other else 1.0


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
    """The temperature of the least mean log loss; as a function of its inverse that is convex."""
    found = minimize_scalar(
        lambda inverse: _log_loss(logits * inverse, male),
        bounds=(1 / _TEMPERATURES[1], 1 / _TEMPERATURES[0]),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(1 / found.x)


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
