"""Between the two networks: which of the faces that were found are judged, and what comes of it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gdwatch.prominence import MOST_FACES, prominence
from gdwatch.values import Box, Face, Scores

if TYPE_CHECKING:  # only the engine has torch
    from gdwatch.inference.detection import Found


def chosen(found: "Sequence[Found]", thumbnail: int, width: int, height: int) -> "list[Found]":
    """The most prominent faces of a photograph, most prominent first, boxes in its pixels.

    found: on its thumbnail, whose longer side has `thumbnail` pixels.
    width, height: of the photograph, pixels.
    """
    scale = max(height, width) / thumbnail
    faces = [replace(each, box=_scaled(each.box, scale)) for each in found]
    faces.sort(key=lambda each: prominence(each.box, width, height), reverse=True)
    return faces[:MOST_FACES]


def scored(
    counts: Iterable[int], faces: "Iterable[Sequence[Found]]", judged: Iterable[tuple[float, float]]
) -> list[Scores]:
    """What there is to say of each photograph.

    counts: how many faces were found on each. faces: those of `chosen`.
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


def _scaled(box: Box, scale: float) -> Box:
    return Box(box.x * scale, box.y * scale, box.width * scale, box.height * scale)
