"""What `gdtrain prepare` leaves for the other commands: a manifest and the pixels beside it."""

import csv
import hashlib
import io
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdwatch.errors import GdwatchError
from train.sources import MANIFEST

SIDE = 128  # of a prepared picture, in pixels: the largest input of a recipe
PIXELS = "pictures.npy"


@dataclass(frozen=True, slots=True)
class Row:
    """One prepared picture.

    age: in years, None where unknown; width, height: of the upright original, in pixels.
    """

    path: str
    label: str
    source: str
    age: int | None
    group: str
    identity: str
    split: str
    sha256: str
    width: int
    height: int


COLUMNS = [field.name for field in fields(Row)]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared folder.

    pixels: uint8 (N, SIDE, SIDE, 3), RGB, memory-mapped, in the order of `rows`.
    digest: SHA-256 of the manifest, which names every picture by its own.
    """

    folder: Path
    rows: list[Row]
    pixels: NDArray[np.uint8]
    digest: str

    def select(self, split: str, min_age: int) -> NDArray[np.int64]:
        """Which rows belong to a split, without the persons known to be under `min_age` years."""
        return np.array(
            [
                number
                for number, row in enumerate(self.rows)
                if row.split == split and (row.age is None or row.age >= min_age)
            ],
            dtype=np.int64,
        )

    def is_male(self) -> NDArray[np.bool_]:
        """The class of every row, (N,)."""
        return np.array([row.label == "male" for row in self.rows], dtype=np.bool_)


def load(folder: Path) -> Prepared:
    """Open what `gdtrain prepare` wrote. Raises GdwatchError."""
    try:
        content = (folder / MANIFEST).read_bytes()
        pixels = np.load(folder / PIXELS, mmap_mode="r")
        rows = [_row(row) for row in csv.DictReader(io.StringIO(content.decode(), newline=""))]
    except (OSError, ValueError, KeyError) as error:
        raise GdwatchError(
            f"{folder}: not a prepared folder ({error})", "make it with `gdtrain prepare`"
        ) from error
    if pixels.shape != (len(rows), SIDE, SIDE, 3):
        raise GdwatchError(
            f"{folder}: {len(rows)} rows in {MANIFEST}, but {PIXELS} is {pixels.shape}",
            "make it again with `gdtrain prepare`",
        )
    return Prepared(folder, rows, pixels, hashlib.sha256(content).hexdigest())


def _row(row: dict[str, str]) -> Row:
    return Row(
        path=row["path"],
        label=row["label"],
        source=row["source"],
        age=int(row["age"]) if row["age"] else None,
        group=row["group"],
        identity=row["identity"],
        split=row["split"],
        sha256=row["sha256"],
        width=int(row["width"]),
        height=int(row["height"]),
    )
