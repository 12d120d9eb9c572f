"""Choose what would teach most: what a model is unsure of, and not all alike.

BADGE (Ash et al. 2020, arXiv:1906.03671): of each picture the gradient of the last layer, taken
with the model's own answer for the label, is long where the answer is unsure and points where the
picture lies; k-means++ then spreads the choice over these gradients.
"""

import numpy as np
from sklearn.cluster import kmeans_plusplus

from train.data.prepared_set import Indices
from train.metrics import Floats

_OF = 10  # the choice is among so many times the count, the least sure: k-means++ begins anywhere


def doubt(p_male: Floats) -> Floats:
    """How far a model is from being sure, 0 to 0.5 of each picture, (N,).

    p_male: (V, N), of V looks at each picture; their mean is unsure where each look is, and where
    they contradict each other (query by committee, Seung et al. 1992).
    """
    mean = p_male.mean(0)
    least: Floats = np.minimum(mean, 1 - mean)
    return least


def choose(p_male: Floats, embedded: Floats, count: int, seed: int = 0) -> Indices:
    """Choose at most `count` pictures, those in most doubt first.

    p_male: (V, N), as for `doubt`; embedded: (N, D), what the last layer takes.

    Returns their numbers, (count,) or, of fewer pictures, all.
    """
    doubts = doubt(p_male)
    asked = np.argsort(-doubts, kind="stable")[: _OF * count]
    if len(asked) <= count:
        return asked
    sign = np.where(p_male.mean(0)[asked] > 0.5, -1.0, 1.0)
    gradients = (sign * doubts[asked])[:, None] * embedded[asked]
    _, chosen = kmeans_plusplus(gradients, count, random_state=seed)
    found: Indices = asked[np.sort(chosen)]
    return found
