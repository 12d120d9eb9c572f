"""Find prepared pictures that are copies of one photograph."""

import numpy as np
from numpy.typing import NDArray
from skimage.feature import match_template

from gdwatch.decode.reduce import Pixels
from train.audit.features import standardised
from train.data import near_duplicates
from train.data.prepared_set import Prepared
from train.metrics import Floats

Pairs = NDArray[np.int64]

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
# Perceptual hashes that differ by at most _SURE_BITS of 256 are of one photograph. Up to _NEAR_BITS
# they are if the pictures overlap well, or less well and have similar embeddings.
_SURE_BITS, _NEAR_BITS = 44, 60
_OVERLAP, _ALSO_OVERLAP = 0.92, 0.86  # correlation of the pixels
_ALIKE = 0.9  # cosine similarity of standardised embeddings
_MARGIN = 4  # pixels of SIDE that a copy may have lost on a side


def copies(prepared: Prepared, hashed: near_duplicates.Hashes, embedded: Floats) -> Pairs:
    """Find the pairs of pictures that show one photograph.

    The perceptual hash decides; where it leaves doubt, embeddings and the overlap of the pixels do.

    hashed: bool (N, 3, 256); embedded: (N, D).

    Returns int64 (P, 2).
    """
    pairs = near_duplicates.near_pairs(hashed, _NEAR_BITS)
    bits = near_duplicates.distance(hashed, pairs)
    directions = standardised(embedded)
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-9)
    cosine = (directions[pairs[:, 0]] * directions[pairs[:, 1]]).sum(1)
    kept = [
        pair
        for pair, distance, alike in zip(pairs.tolist(), bits, cosine, strict=True)
        if distance <= _SURE_BITS or _confirmed(prepared.pixels(np.array(pair)), float(alike))
    ]
    return np.array(kept, dtype=np.int64).reshape(-1, 2)


def _confirmed(squares: Pixels, cosine: float) -> bool:
    """Whether two pictures, uint8 (2, S, S, 3), are one photograph, though their hashes differ."""
    one, other = squares @ _LUMA
    inner = one[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    # The correlation at the shift that fits best; scikit-image has no types.
    overlap = float(match_template(other, inner).max())  # type: ignore[no-untyped-call]
    return overlap >= _OVERLAP or (overlap >= _ALSO_OVERLAP and cosine >= _ALIKE)
