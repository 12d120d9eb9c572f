"""Which prepared pictures are copies of one photograph."""

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
_SURE_BITS = 44  # of 256: so near, two pictures are of one photograph
_NEAR_BITS = 60  # so near, they are if they overlap so well, or less well and are embedded alike:
_OVERLAP, _ALSO_OVERLAP = 0.92, 0.86  # correlation
_ALIKE = 0.9  # cosine, of standardised embeddings
_MARGIN = 4  # pixels of SIDE that a copy may have lost on a side


def copies(prepared: Prepared, hashed: near_duplicates.Hashes, embedded: Floats) -> Pairs:
    """Find pairs of one photograph: by bytes, by perceptual hash, and where that is in doubt by
    embedding and by laying one over the other.

    hashed: bool (N, 3, 256); embedded: (N, D).

    Returns int64 (P, 2).
    """
    pairs = near_duplicates.near(hashed, _NEAR_BITS)
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
    # The correlation where it fits best; scikit-image has no types.
    overlap = float(match_template(other, inner).max())  # type: ignore[no-untyped-call]
    return overlap >= _OVERLAP or (overlap >= _ALSO_OVERLAP and cosine >= _ALIKE)
