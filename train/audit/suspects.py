"""Find what is wrong with pictures, one function for each kind of finding: arrays in, suspects out.

The algorithms are those of libraries: confident learning of cleanlab, clustering of scikit-learn.
This module has the thresholds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import entropy
from sklearn.cluster import HDBSCAN
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gdwatch.decode.reduce import Pixels
from gdwatch.errors import GdwatchError
from train.audit.features import standardised
from train.data import near_duplicates
from train.metrics import Bools, Floats

FindingKind = Literal["duplicate", "label", "uninformative", "unknowable", "outlier", "no face"]

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_FOLDS = 5
_UNSURE_BITS = 0.97  # entropy of a prediction in bits, at most 1: a probability of 0.4 to 0.6
_LABEL_QUALITY = 0.27  # a label whose predicted probability is lower is doubted
_PURE = 0.9  # least share of a cluster with one label, for the others to be outliers
_DIMENSIONS = 12  # after PCA: in more, HDBSCAN finds everything equally far away

# Of pictures of SIDE x SIDE; thresholds that none of 7,383 photographs of faces passes.
_TINY = 24  # pixels of the shorter side
_FLAT = 6.0  # standard deviation of the luma, of 255
_BLURRED = 1.2  # standard deviation of the Laplacian of the luma
_NOISY = 0.25  # correlation of pixels _APART from each other; in photographs it is 0.4 and more
_APART = 4  # pixels


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture and what may be wrong with it.

    row: number of the picture; score: 0 to 1, higher is surer.
    related: the row that this one is a copy of, or None.
    """

    row: int
    trouble: FindingKind
    score: float
    evidence: str
    related: int | None = None


def duplicated(
    pairs: NDArray[np.int64], sizes: Sequence[int], sha256: Sequence[str], male: Bools
) -> list[Suspect]:
    """Suspect all copies of a photograph but the largest.

    pairs: int64 (P, 2); sizes: N, pixels of the originals; sha256: N; male: (N,).
    """
    group = near_duplicates.connected_groups(len(sizes), pairs)
    best: dict[int, int] = {}
    for row in sorted(np.unique(pairs).tolist(), key=lambda row: (-sizes[row], row)):
        best.setdefault(int(group[row]), row)
    found = []
    for row in np.unique(pairs).tolist():
        kept = best[int(group[row])]
        if row == kept:
            continue
        same = sha256[row] == sha256[kept]
        evidence = "the same bytes" if same else "shows the same photograph"
        if male[row] != male[kept]:
            evidence += ", under the other label"
        found.append(Suspect(row, "duplicate", 1.0 if same else 0.9, evidence, kept))
    return found


def out_of_fold(embedded: Floats, male: Bools, groups: NDArray[np.int64]) -> Floats:
    """Out-of-fold probabilities of `male`, by classifiers that were not trained on the picture.

    embedded: (N, D); groups: (N,), pictures of one group are always in one cross-validation fold.

    Returns (N,). Raises GdwatchError where one class has too few groups to be divided.
    """
    fewest = min(len(np.unique(groups[male])), len(np.unique(groups[~male])))
    if fewest < _FOLDS:
        raise GdwatchError("too few different pictures of one class", "prepare more pictures")
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=0)
    asked = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=500))
    answers = cross_val_predict(
        asked, embedded, male, groups=groups, cv=folds, method="predict_proba"
    )
    return np.asarray(answers[:, 1], dtype=np.float64)


def mislabelled(p_male: Floats, male: Bools) -> list[Suspect]:
    """Suspect labels by confident learning (Northcutt et al. 2021, arXiv:1911.00068).

    p_male: (N,), out of fold.
    """
    answers = np.stack((1 - p_male, p_male), 1)
    labels = male.astype(np.int64)
    quality = get_label_quality_scores(labels, answers, method="self_confidence")
    doubted = find_label_issues(labels, answers, filter_by="prune_by_noise_rate", n_jobs=1)
    doubted = doubted | (quality < _LABEL_QUALITY)
    return [
        Suspect(
            row,
            "label",
            float(1 - quality[row]),
            f"labelled {_word(male[row])}, looks {_word(not male[row])} "
            f"with {100 * (1 - quality[row]):.0f} %",
        )
        for row in np.flatnonzero(doubted & (quality < 0.5)).tolist()
    ]


def unknowable(p_male: Floats) -> list[Suspect]:
    """Suspect pictures whose prediction is close to one half. p_male: (N,), out of fold."""
    doubt = entropy(np.stack((1 - p_male, p_male)), base=2)
    return [
        Suspect(row, "unknowable", float(doubt[row]), f"male with {100 * p_male[row]:.0f} %")
        for row in np.flatnonzero(doubt >= _UNSURE_BITS).tolist()
    ]


def uninformative(square: Pixels, shorter: int) -> tuple[float, str] | None:
    """Tell whether a picture is tiny, flat, noise or blurred.

    square: uint8 (S, S, 3), RGB; shorter: shorter side of the original, in pixels.

    Returns a score, 0 to 1, and the evidence; None for a picture that is none of these.
    """
    luma = square @ _LUMA
    spread = float(luma.std())
    if shorter < _TINY:
        return 1 - shorter / _TINY / 2, f"tiny: {shorter} pixels"
    if spread < _FLAT:
        return 1 - spread / _FLAT / 2, f"flat: contrast {spread:.1f} of 255"
    alike = structure(luma)
    if alike < _NOISY:
        return 1 - max(0.0, alike) / _NOISY / 2, f"noise: neighbours correlate by {alike:.2f}"
    edges = float(ndimage.laplace(luma).std())
    if edges < _BLURRED:
        return 1 - edges / _BLURRED / 2, f"blurred: edges {edges:.1f}"
    return None


def faceless(scores: Floats, threshold: float) -> list[Suspect]:
    """Suspect pictures on which the locator finds nobody.

    scores: (N,), the highest detection score of each picture; threshold: least score of a face.
    """
    return [
        Suspect(
            row, "no face", float(1 - scores[row]), f"the surest has a score of {scores[row]:.2f}"
        )
        for row in np.flatnonzero(scores < threshold).tolist()
    ]


def structure(luma: Floats) -> float:
    """The correlation of pixels _APART from each other, across or down, whichever is less.

    luma: (H, W).
    """
    across = np.corrcoef(luma[:, _APART:].ravel(), luma[:, :-_APART].ravel())[0, 1]
    down = np.corrcoef(luma[_APART:].ravel(), luma[:-_APART].ravel())[0, 1]
    return float(np.nan_to_num(min(across, down)))


def outliers(embedded: Floats, male: Bools) -> list[Suspect]:
    """Suspect pictures in a cluster that is nearly all of the other label.

    The clustering is HDBSCAN (Campello et al. 2013). embedded: (N, D).
    """
    found: list[Suspect] = []
    clusters = cluster(embedded)
    for number in range(clusters.max() + 1):
        members = np.flatnonzero(clusters == number)
        share = float(male[members].mean())
        usual, purity = share > 0.5, max(share, 1 - share)
        if purity < _PURE:
            continue
        for row in members[male[members] != usual].tolist():
            evidence = (
                f"labelled {_word(male[row])} in cluster {number} of {len(members)}, "
                f"{100 * purity:.0f} % {_word(usual)}"
            )
            found.append(Suspect(row, "outlier", purity, evidence))
    return found


def cluster(embedded: Floats) -> NDArray[np.int64]:
    """Number the cluster of every picture; -1 for those in none. embedded: (N, D)."""
    count = min(_DIMENSIONS, *embedded.shape)
    reduced = PCA(count, random_state=0).fit_transform(standardised(embedded))
    smallest = max(5, len(embedded) // 200)
    return np.asarray(
        HDBSCAN(min_cluster_size=smallest, min_samples=5, copy=True).fit_predict(reduced)
    )


def _word(male: object) -> str:
    return "male" if male else "female"
