"""Faces that the published detector found on photographs, in one CSV file."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gdwatch.errors import GdwatchError
from gdwatch.values import Box
from train.atomic_files import publish

COLUMNS = ["path", "x", "y", "width", "height", "score", "landmarks"]

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
