"""Chooses the faces to classify among those located, and puts the scores of both networks together.

Nothing here needs torch: `decide`, in the service process, uses it as well.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gdwatch.values import Box, Face, Scores

MOST_FACES = 5  # that are classified in one photograph, the most prominent ones
NOBODY = 0.5  # probability of nobody from which a face counts as none
_CENTRE_WEIGHT = 0.8  # how steeply prominence falls with the distance, see `prominence`


@dataclass(frozen=True, slots=True)
class Detection:
    """A face that the locator found.

    box: in pixels of the thumbnail, or of the photograph.
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


def most_prominent(found: Sequence[Detection], width: int, height: int) -> list[Detection]:
    """Return at most `MOST_FACES` faces of a photograph, most prominent first.

    width, height: of the photograph, in the pixels of the boxes.
    """
    faces = sorted(found, key=lambda each: prominence(each.box, width, height), reverse=True)
    return faces[:MOST_FACES]


def confidence(p_male: float, p_nobody: float) -> float:
    """Return the probability that the label is right, 0.5 to 1; nobody's label is a coin's toss.

    p_male, p_nobody: as in `Judgement`.
    """
    return 0.5 + (max(p_male, 1 - p_male) - 0.5) * (1 - p_nobody)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A classifier's answer for one crop.

    p_male: calibrated probability of `male`, given that somebody is there, 0 to 1.
    p_nobody: probability that nobody is there, 0 to 1.
    sharpness: see `sharpness`.
    """

    p_male: float
    p_nobody: float
    sharpness: float


def to_scores(
    counts: Iterable[int],
    faces: Iterable[Sequence[Detection]],
    judged: Iterable[Judgement],
) -> list[Scores]:
    """Return the scores of each photograph.

    counts: how many faces were found on each photograph.
    faces: what `most_prominent` gave for each photograph.
    judged: the answer for each of these faces in turn; that for the whole photograph if it has no
    face.

    What the classifier takes for nobody is no face. Where no other is left, the whole photograph
    has the answer of the most prominent one.
    """
    rest = iter(judged)
    scores = []
    for count, best in zip(counts, faces, strict=True):
        answers = [next(rest) for _ in range(max(1, len(best)))]
        each = tuple(
            Face(face.box, face.score, answer.p_male, answer.sharpness, answer.p_nobody)
            for face, answer in zip(best, answers, strict=False)
            if answer.p_nobody < NOBODY
        )
        if each:
            scores.append(Scores(None, count - (len(best) - len(each)), each))
        else:
            scores.append(Scores(answers[0].p_male, 0, p_nobody=answers[0].p_nobody))
    return scores
