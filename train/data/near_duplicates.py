"""Near-duplicates: pictures of one photograph, found by perceptual hash.

The hash is pHash of the package ImageHash: the signs of a picture's lowest frequencies.
"""

from collections.abc import Sequence
from itertools import pairwise

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors

from gdwatch.decode.reduce import Pixels

Hashes = NDArray[np.bool_]

NEAR = 48  # bits of 256: of 53,000 photographs of faces, hardly two different ones differ by less
_SIDE_BITS = 16  # shorter hashes do not tell aligned faces apart
# A copy may be cropped, which changes a hash much more than saving it anew does. So every picture
# is also hashed with these shares of each side cut off.
_CUTS = (0.0, 0.015, 0.03)


def hashes(square: Pixels) -> Hashes:
    """Hash a picture whole, and cropped by each of `_CUTS`.

    square: uint8 (S, S, 3), RGB.

    Returns bool (3, 256), the whole one first.
    """
    image = Image.fromarray(square)
    side = image.width
    cut = [(side * c, side * c, side * (1 - c), side * (1 - c)) for c in _CUTS]
    small = [image.resize((64, 64), Image.Resampling.BILINEAR, box) for box in cut]
    return np.stack([imagehash.phash(s, hash_size=_SIDE_BITS).hash.ravel() for s in small])


def near_pairs(hashed: Hashes, bits: int = NEAR) -> NDArray[np.int64]:
    """Find the pairs that show the same photograph.

    hashed: bool (N, 3, 256).
    bits: by how many two hashes of one photograph may differ.

    Returns int64 (P, 2), of each pair the smaller number first.
    """
    whole, which, inverse = np.unique(hashed[:, 0], axis=0, return_index=True, return_inverse=True)
    # Equal hashes are chained: a folder of a thousand black pictures would make a million pairs.
    equal = [pair for group in _groups_of(inverse) for pair in pairwise(group)]
    variants = hashed[which].reshape(-1, hashed.shape[2]).astype(np.float32)
    index = NearestNeighbors(radius=bits + 0.5, algorithm="brute", metric="sqeuclidean")
    found = index.fit(variants).radius_neighbors(whole.astype(np.float32), return_distance=False)
    pairs = {
        (min(one, other), max(one, other))
        for one, others in zip(which.tolist(), found, strict=True)
        for other in which[others // hashed.shape[1]].tolist()
        if one != other
    }
    return np.array(sorted(pairs | set(equal)), dtype=np.int64).reshape(-1, 2)


def distance(hashed: Hashes, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The Hamming distance of each pair, cropped as fits best; (P,)."""
    one, other = hashed[pairs[:, 0]], hashed[pairs[:, 1]]
    there = (one[:, :1] != other).sum(2).min(1)
    back = (other[:, :1] != one).sum(2).min(1)
    least: NDArray[np.int64] = np.minimum(there, back)
    return least


def connected_groups(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the connected components of the graph of pairs; returns (count,)."""
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def inseparable_groups(identities: Sequence[str], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the groups of pictures that must be in one split; returns the group of each, (N,).

    A group has all pictures of a person and all copies of a photograph, also where one leads to the
    other.

    identities: N, empty where unknown; pairs: int64 (P, 2), pictures of one photograph.
    """
    first: dict[str, int] = {}
    same = [
        (first.setdefault(identity, number), number)
        for number, identity in enumerate(identities)
        if identity
    ]
    both = np.concatenate((pairs, np.array(same, dtype=np.int64).reshape(-1, 2)))
    return connected_groups(len(identities), both)


def _groups_of(group: NDArray[np.int64]) -> Sequence[list[int]]:
    """The members of every group of more than one, in order."""
    order = np.argsort(group.ravel(), kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group.ravel()[order])) + 1)
    return [part.tolist() for part in parts if len(part) > 1]
