"""Faces between the two networks: which of those that were found are judged, and what comes of it.

Nothing here needs torch: what decides uses it as well.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gdwatch.inference.coordinates import thumbnail_to_slot
from gdwatch.values import Box, Face, Scores

MOST_FACES = 5  # of one photograph are judged, the most prominent ones
_CENTRE = 0.8  # how much of its size a face in the corner keeps, less: see `prominence`


@dataclass(frozen=True, slots=True)
class Detection:
    """A face on a thumbnail. box: in its pixels; score: 0 to 1."""

    box: Box
    score: float


def prominence(box: Box, width: float, height: float) -> float:
    """The longer side of a face, less the farther it is from the middle of the photograph.

    box: in pixels of the photograph; width, height: of the photograph, in pixels.
    """
    x = (box.x + box.width / 2) / width - 0.5
    y = (box.y + box.height / 2) / height - 0.5
    return max(box.width, box.height) * max(0.0, 1 - _CENTRE * math.hypot(x, y))


def most_prominent(
    found: Sequence[Detection], thumbnail: int, width: int, height: int
) -> list[Detection]:
    """The most prominent faces of a photograph, most prominent first, boxes in its pixels.

    found: on its thumbnail, whose longer side has `thumbnail` pixels.
    width, height: of the photograph, pixels.
    """
    size = (width, height)
    faces = [replace(each, box=thumbnail_to_slot(each.box, thumbnail, size)) for each in found]
    faces.sort(key=lambda each: prominence(each.box, width, height), reverse=True)
    return faces[:MOST_FACES]


def to_scores(
    counts: Iterable[int],
    faces: Iterable[Sequence[Detection]],
    judged: Iterable[tuple[float, float]],
) -> list[Scores]:
    """What there is to say of each photograph.

    counts: how many faces were found on each. faces: those of `most_prominent`.
    judged: the probability and the sharpness of each of these in turn; where a photograph has
    none, of the whole of it.
    """
    rest = iter(judged)
    scores = []
    for count, best in zip(counts, faces, strict=True):
        if not best:
            scores.append(Scores(next(rest)[0], count=0))
            continue
        each = tuple(Face(face.box, face.score, *next(rest)) for face in best)
        scores.append(Scores(None, count, each))
    return scores
