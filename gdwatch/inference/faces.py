"""Chooses the faces to classify among those located, and puts the scores of both networks together.

Nothing here needs torch: `decide`, in the service process, uses it as well.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gdwatch.inference.coordinates import thumbnail_to_slot
from gdwatch.values import Box, Face, Scores

MOST_FACES = 5  # that are classified in one photograph, the most prominent ones
_CENTRE_WEIGHT = 0.8  # how steeply prominence falls with the distance, see `prominence`


@dataclass(frozen=True, slots=True)
class Detection:
    """A face that the locator found.

    box: in pixels of the thumbnail.
    score: 0 to 1.
    tilt: degrees by which the face is turned clockwise; 0 from a locator without landmarks.
    """

    box: Box
    score: float
    tilt: float = 0.0


def prominence(box: Box, width: float, height: float) -> float:
    """Return the longer side of a face, reduced with its distance from the photograph's centre.

    box: in pixels of the photograph.
    width, height: of the photograph, in pixels.
    """
    x = (box.x + box.width / 2) / width - 0.5
    y = (box.y + box.height / 2) / height - 0.5
    return max(box.width, box.height) * max(0.0, 1 - _CENTRE_WEIGHT * math.hypot(x, y))


def most_prominent(
    found: Sequence[Detection], thumbnail: int, width: int, height: int
) -> list[Detection]:
    """Return at most `MOST_FACES` faces, most prominent first, boxes in pixels of the photograph.

    found: on its thumbnail, whose longer side has `thumbnail` pixels.
    width, height: of the photograph, in pixels.
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
    """Return the scores of each photograph.

    counts: how many faces were found on each photograph.
    faces: what `most_prominent` gave for each photograph.
    judged: the probability and the sharpness of each of these faces in turn; those of the whole
    photograph if it has no face.
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
