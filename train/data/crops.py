"""The table of what `gdtrain crop` has cut out: one line for each picture in its files."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from train.atomic_files import publish_rows

TABLE = "crops.csv"

FACE = "face"  # the most prominent face of a labelled photograph
WHOLE = "whole"  # a labelled photograph on which no face was found
OTHER = "other"  # a further face, for which a teacher has answered
FALSE = "false"  # a place without a face, such as one that a locator takes for a face
EMPTY = "empty"  # a whole photograph without people
KINDS = (FACE, WHOLE, OTHER, FALSE, EMPTY)


@dataclass(frozen=True, slots=True)
class CropRow:
    """What was cut out of a photograph.

    path, label, source, split: of the photograph.
    kind: one of KINDS.
    x, y, width, height: of the box, in pixels of the upright photograph; all 0 where it is whole.
    scale: width of the upright photograph in widths of what the service's networks see of it.
    score: of the detector, 0 to 1; 0 where none has found it.
    tilt: degrees by which the face is turned clockwise.
    p_male: of kind OTHER, the teacher's answer, 0 to 1; else -1.
    """

    path: str
    label: str
    source: str
    split: str
    kind: str
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    scale: float = 1.0
    score: float = 0.0
    tilt: float = 0.0
    p_male: float = -1.0

    @property
    def size(self) -> float:
        """The longer side of the box, in pixels that the service sees; 0 where it is whole.

        The service reduces a photograph before it judges, and knows no other size of a face.
        """
        return max(self.width, self.height) / self.scale


_COLUMNS = [field.name for field in fields(CropRow)]
_NUMBERS = _COLUMNS[_COLUMNS.index("x") :]


def write(rows: Sequence[CropRow], folder: Path) -> None:
    """Write the table into a prepared folder. Raises GdwatchError."""
    publish_rows(folder / TABLE, _COLUMNS, rows)


def read(folder: Path) -> list[CropRow]:
    """Read what `write` wrote. Raises OSError, ValueError or KeyError if it is damaged."""
    with (folder / TABLE).open(newline="", encoding="utf-8") as stream:
        return [_row(row) for row in csv.DictReader(stream)]


def _row(row: dict[str, str]) -> CropRow:
    if row["kind"] not in KINDS or None in row.values():
        raise ValueError(f"{TABLE}: {row['path']} has kind {row['kind']}")
    numbers = {name: float(row[name]) for name in _NUMBERS}
    return CropRow(row["path"], row["label"], row["source"], row["split"], row["kind"], **numbers)
