"""Faces that the published detector found on photographs, in one CSV file."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from gdwatch.errors import GdwatchError
from gdwatch.inference.detection import tilts
from gdwatch.inference.faces import prominence
from gdwatch.networks.locator import LANDMARKS
from gdwatch.values import Box
from train.atomic_files import publish

COLUMNS = ["path", "x", "y", "width", "height", "score", "landmarks"]

# What people drew, with the share of the box that the face takes.
_DRAWN = {"human face box": 1.0, "human head box": 0.85}
_SURE = 0.5  # score of a face
_FACE_IS_LOW = 0.7  # share of what is cut off a head's box that is above the face

Landmarks = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Face:
    """A face that the detector found.

    box: in pixels of the upright photograph.
    score: 0 to 1.
    landmarks: x and y of both eyes, the nose and both corners of the mouth, in the same pixels.
    """

    box: Box
    score: float
    landmarks: Landmarks

    @property
    def tilt(self) -> float:
        """Degrees by which the face is turned clockwise; 0 where its landmarks are not known."""
        if len(self.landmarks) != 2 * LANDMARKS:
            return 0.0
        return float(tilts(torch.tensor(self.landmarks).view(1, LANDMARKS, 2))[0])

    def scaled(self, scale: float) -> "Face":
        """The same face in a photograph larger by this factor."""
        box = self.box
        return Face(
            Box(box.x * scale, box.y * scale, box.width * scale, box.height * scale),
            self.score,
            tuple(value * scale for value in self.landmarks),
        )


def write(faces: Mapping[str, Sequence[Face]], file: Path) -> None:
    """Write the faces of every photograph, by its path; one without a face is a line with the path.

    Raises GdwatchError.
    """
    with publish(file) as aside, aside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        for path, found in faces.items():
            if not found:
                writer.writerow([path, *[""] * (len(COLUMNS) - 1)])
            for face in found:
                box = face.box
                numbers = (box.x, box.y, box.width, box.height)
                points = " ".join(f"{value:.1f}" for value in face.landmarks)
                writer.writerow(
                    [path, *(f"{value:.1f}" for value in numbers), f"{face.score:.3f}", points]
                )


def merged(
    faces: Mapping[str, Sequence[Face]], drawn: Mapping[str, Sequence[Face]]
) -> dict[str, list[Face]]:
    """Add the faces that people drew to those that the detector found, each face once.

    A face that both have keeps the detector's box and landmarks, and is sure.
    """
    together = {path: list(found) for path, found in faces.items()}
    for path, boxes in drawn.items():
        found = together.setdefault(path, [])
        for one in boxes:
            same = [at for at, face in enumerate(found) if _meets(face.box, one.box)]
            if not same:
                found.append(one)
            for at in same[:1]:
                found[at] = replace(found[at], score=1.0)
    return together


def read_drawn(file: Path) -> dict[str, list[Face]]:
    """Read the boxes that people drew: CSV of path, x, y, w, h and by, in pixels.

    `by` says what was drawn, `human face box` or `human head box`; others are left out. A head is
    larger than its face, so a head's box is made smaller.

    Raises GdwatchError.
    """
    drawn: dict[str, list[Face]] = {}
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                if row["by"] in _DRAWN:
                    x, y, width, height = (float(row[name]) for name in ("x", "y", "w", "h"))
                    less = _DRAWN[row["by"]]
                    box = Box(
                        x + width * (1 - less) / 2,
                        y + height * (1 - less) * _FACE_IS_LOW,
                        width * less,
                        height * less,
                    )
                    drawn.setdefault(row["path"], []).append(Face(box, 1.0, ()))
    except (OSError, KeyError, ValueError) as error:
        raise GdwatchError(
            f"{file}: no table of drawn boxes ({error})", "its columns are path,x,y,w,h,by"
        ) from error
    return drawn


def most_prominent(found: Sequence[Face], width: float, height: float) -> Face | None:
    """The face that counts on a photograph; an unsure one only where no other is there.

    found: those with landmarks count, which the detector has found. width, height: in pixels.
    """
    marked = [face for face in found if len(face.landmarks) == 2 * LANDMARKS]
    sure = [face for face in marked if face.score >= _SURE] or marked
    return max(sure, key=lambda face: prominence(face.box, width, height), default=None)


def read_taught(file: Path) -> dict[str, list[tuple[Box, float]]]:
    """Read the faces that a teacher answers for: CSV of path, x, y, w, h in pixels, and p_male.

    Raises GdwatchError.
    """
    taught: dict[str, list[tuple[Box, float]]] = {}
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                box = Box(*(float(row[name]) for name in ("x", "y", "w", "h")))
                taught.setdefault(row["path"], []).append((box, float(row["p_male"])))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise GdwatchError(
            f"{file}: no table of a teacher's faces ({error})",
            "its columns are path,x,y,w,h,p_male",
        ) from error
    return taught


def _meets(one: Box, other: Box) -> bool:
    """Whether the centre of each box lies in the other one."""
    return _holds(one, other) and _holds(other, one)


def _holds(box: Box, inner: Box) -> bool:
    x, y = inner.x + inner.width / 2, inner.y + inner.height / 2
    return box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height


def read(file: Path) -> dict[str, list[Face]]:
    """Read what `write` wrote: by path, a list of faces, which may be empty.

    Raises GdwatchError.
    """
    faces: dict[str, list[Face]] = {}
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            rows = csv.DictReader(stream)
            for row in rows:
                if None in row.values():
                    raise ValueError(f"line {rows.line_num} is cut short")
                found = faces.setdefault(row["path"], [])
                if row["score"]:
                    found.append(_face(row))
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise GdwatchError(
            f"{file}: not a file of faces ({error})", f"its columns are {','.join(COLUMNS)}"
        ) from error
    return faces


def _face(row: Mapping[str, str]) -> Face:
    x, y, width, height = (float(row[name]) for name in ("x", "y", "width", "height"))
    points = tuple(float(value) for value in row["landmarks"].split())
    return Face(Box(x, y, width, height), float(row["score"]), points)
