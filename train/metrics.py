"""Measures of predictions: pure functions of probabilities and labels."""

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, roc_auc_score

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

_BINS = 15  # as in Guo et al. 2017, arXiv:1706.04599, from which the temperature is too
_TEMPERATURES = (0.05, 20.0)  # outside this range a network is broken, not badly calibrated
_RESAMPLES = 2000
_THRESHOLDS = (*np.linspace(0.5, 0.99, 50).round(2), 0.995, 0.999)
_FEWEST = 0.05  # least share that a threshold must accept: the accuracy of fewer is chance


@dataclass(frozen=True, slots=True)
class Confusion:
    """The confusion matrix: pictures by class and predicted class."""

    female_as_female: int
    female_as_male: int
    male_as_female: int
    male_as_male: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a minimum confidence accepts.

    coverage: share of the pictures; accuracy: of the accepted ones, None where there are none.
    """

    min_confidence: float
    coverage: float
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Measures:
    """The measures of a model on some pictures; all but counts are shares, 0 to 1.

    balanced_interval: 95 % confidence interval of the balanced accuracy, by bootstrap.
    roc_auc: None where all pictures are of one class.
    expected_calibration_error: mean distance between confidence and accuracy.
    coverage: share of the pictures with at least the model's min_confidence.
    accepted_accuracy: accuracy of these, None where there are none.
    curve: coverage and accuracy at other confidences.
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
    """A minimum confidence, 0.5 to 1, and the accuracy of the pictures that it accepts."""

    min_confidence: float
    accuracy: float


def measure(
    p_male: Floats, male: Bools, min_confidence: float, sure: Floats | None = None
) -> Measures:
    """Compare predictions with labels.

    p_male, male: (N,), N ≥ 1.
    sure: (N,), the confidence by which each is accepted, if it is not that of `p_male`.
    """
    sure = confidence(p_male) if sure is None else sure
    predicted_male = p_male > 0.5
    confusion = count_confusion(predicted_male, male)
    right = predicted_male == male
    at_model = accepted(right, sure, min_confidence)
    return Measures(
        pictures=len(male),
        balanced_accuracy=balanced_accuracy(predicted_male, male),
        balanced_interval=bootstrap(confusion),
        accuracy=float(right.mean()),
        roc_auc=float(roc_auc_score(male, p_male)) if len(np.unique(male)) == 2 else None,
        confusion=confusion,
        expected_calibration_error=expected_calibration_error(p_male, male),
        coverage=at_model.coverage,
        accepted_accuracy=at_model.accuracy,
        curve=tuple(accepted(right, sure, float(least)) for least in _THRESHOLDS),
    )


def accepted(right: Bools, sure: Floats, min_confidence: float) -> Accepted:
    """Coverage and accuracy at a minimum confidence.

    right: (N,), which predictions are right. sure: (N,), how sure they are.
    """
    is_sure = sure >= min_confidence
    taken = right[is_sure]
    accuracy = float(taken.mean()) if len(taken) else None
    return Accepted(min_confidence, float(is_sure.mean()), accuracy)


def count_confusion(predicted_male: Bools, male: Bools) -> Confusion:
    """Count the predictions by class. Both (N,)."""
    counts = confusion_matrix(male, predicted_male, labels=[False, True])
    return Confusion(*(int(count) for count in counts.ravel()))


def bootstrap(confusion: Confusion) -> tuple[float, float]:
    """95 % confidence interval of the balanced accuracy, by the percentile bootstrap (Efron 1979).

    Resampling pictures with replacement draws their four counts from a multinomial distribution.
    """
    counts = np.array(astuple(confusion))
    drawn = np.random.default_rng(0).multinomial(counts.sum(), counts / counts.sum(), _RESAMPLES)
    right, all_ = drawn[:, [0, 3]], drawn.reshape(-1, 2, 2).sum(2)
    recalls = np.divide(right, all_, out=np.full(right.shape, np.nan), where=all_ > 0)
    low, high = np.percentile(np.nanmean(recalls, 1), [2.5, 97.5])
    return float(low), float(high)


def mcnemar(right: Bools, other_right: Bools) -> float:
    """The p-value of McNemar's exact test (1947): that two equally good models differ so much.

    Only pictures that one model got right and the other wrong count. Both (N,).
    """
    one, other = int((right & ~other_right).sum()), int((other_right & ~right).sum())
    return float(binomtest(one, one + other).pvalue) if one + other else 1.0


def confidence(p_male: Floats) -> Floats:
    """The probability of the class that is more probable, 0.5 to 1."""
    return np.maximum(p_male, 1 - p_male)


def probabilities(logits: Floats, temperature: float) -> Floats:
    """The probability of `male` for each logit, (N,)."""
    shares: Floats = expit(logits / temperature)
    return shares


def balanced_accuracy(predicted_male: Bools, male: Bools) -> float:
    """The mean recall of the classes that there are pictures of. Both (N,), N ≥ 1."""
    recalls = [float(np.mean(predicted_male[male == value] == value)) for value in np.unique(male)]
    return sum(recalls) / len(recalls)


def expected_calibration_error(p_male: Floats, male: Bools) -> float:
    """Mean over the pictures of |accuracy - confidence| of their bin; the bins have equal width."""
    sure = confidence(p_male)
    right = (p_male > 0.5) == male
    bins = np.minimum(((sure - 0.5) * 2 * _BINS).astype(np.int64), _BINS - 1)
    error = 0.0
    for number in np.unique(bins):
        inside = bins == number
        error += float(inside.mean() * abs(right[inside].mean() - sure[inside].mean()))
    return error


def fit_temperature(logits: Floats, male: Bools) -> float:
    """The temperature with the least log loss, which is a convex function of its inverse."""
    found = minimize_scalar(
        lambda inverse: _log_loss(logits * inverse, male),
        bounds=(1 / _TEMPERATURES[1], 1 / _TEMPERATURES[0]),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(1 / found.x)


def choose_threshold(
    p_male: Floats,
    male: Bools,
    accuracy: float,
    sure: Floats | None = None,
    weights: Floats | None = None,
) -> Threshold:
    """The least confidence that reaches an accuracy; if none does, that with the highest one.

    p_male, male: (N,), N ≥ 1, of pictures that the network was not trained on.
    sure: (N,), the confidence of each, if it is not that of `p_male`.
    weights: (N,), of each; by default all weigh the same.
    """
    sure = confidence(p_male) if sure is None else sure
    weights = np.ones(len(sure)) if weights is None else weights
    order = np.argsort(-sure, kind="stable")
    sure, weights = sure[order], weights[order]
    reached = np.cumsum(((p_male > 0.5) == male)[order] * weights) / np.cumsum(weights)
    # Pictures of one confidence are accepted together, so only the last of them counts.
    last = np.append(sure[1:] != sure[:-1], True)
    last[: int(len(sure) * _FEWEST)] = False
    candidates = np.flatnonzero(last)
    enough = candidates[reached[candidates] >= accuracy]
    chosen = enough[-1] if len(enough) else candidates[np.argmax(reached[candidates])]
    return Threshold(float(sure[chosen]), float(reached[chosen]))


def _log_loss(logits: Floats, male: Bools) -> float:
    return float(np.mean(np.logaddexp(0, np.where(male, -logits, logits))))
