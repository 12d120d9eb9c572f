"""What `gdtrain prepare` leaves for the other commands: a manifest and the pixels beside it."""

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdwatch.errors import GdwatchError
from gdwatch.values import Crop
from train.data.sources import MANIFEST

SIDE = 128  # of a prepared picture, in pixels: the largest input of a recipe
PIXELS = "pictures.npy"
FACES = "faces.npy"
BOXES = "faces.csv"
RIM = 16  # pixels round the square of a face, so that augmentation can shift and turn it
HASHES = "hashes.npy"
CLEAN = "manifest.clean.csv"
Indices = NDArray[np.int64]  # numbers of rows

_TRAIN, _VAL = 0.84, 0.08  # the rest is the test split


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

    stored: uint8 (M, SIDE + 2 rim, SIDE + 2 rim, 3), RGB, memory-mapped: every picture that was
    prepared, squeezed into a square, or the square crop of its face with a rim; after these,
    K squares without a face.
    places: int64 (N + K,), the indices into `stored` of `rows`, then of the squares without a face.
    digest: SHA-256 of the manifest, which has the SHA-256 of every picture, and of the boxes.
    rim: in pixels, on each side.
    """

    manifest: Path
    rows: list[Row]
    stored: NDArray[np.uint8]
    places: Indices
    digest: str
    rim: int = 0

    @property
    def folder(self) -> Path:
        """The prepared folder."""
        return self.manifest.parent

    @property
    def nobody(self) -> Indices:
        """The row numbers of the squares without a face, which follow those of `rows`; (K,)."""
        return np.arange(len(self.rows), len(self.places))

    def pixels(self, rows: Indices) -> NDArray[np.uint8]:
        """Read the pictures of some rows: uint8 (B, SIDE, SIDE, 3), RGB."""
        inside = slice(self.rim, self.rim + SIDE)
        return self.stored[self.places[rows], inside, inside]

    def with_rim(self, rows: Indices) -> NDArray[np.uint8]:
        """Read the pictures of some rows with their rim, as in `stored`."""
        return self.stored[self.places[rows]]

    def select(self, split: str, min_age: int) -> Indices:
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


def load(folder: Path, crop: Crop = "whole") -> Prepared:
    """Open what `gdtrain prepare` wrote, or `gdtrain crop` of it. Raises GdwatchError."""
    return load_manifest(folder / MANIFEST, crop)


def load_clean(folder: Path, crop: Crop = "whole") -> Prepared:
    """Open what `gdtrain audit --apply` left of a prepared folder. Raises GdwatchError."""
    if not (folder / CLEAN).is_file():
        raise GdwatchError(f"{folder}: no {CLEAN} in it", "write it with `gdtrain audit --apply`")
    return load_manifest(folder / CLEAN, crop)


def load_manifest(manifest: Path, crop: Crop = "whole") -> Prepared:
    """Open a prepared folder by one of its manifests. Raises GdwatchError."""
    folder = manifest.parent
    file, rim, command = (FACES, RIM, "crop") if crop == "face" else (PIXELS, 0, "prepare")
    try:
        whole = _read(folder / MANIFEST)
        content = manifest.read_bytes()
        rows = _read(manifest)
        pixels = np.load(folder / file, mmap_mode="r")
        if crop == "face":
            content += (folder / BOXES).read_bytes()
    except (OSError, ValueError, KeyError) as error:
        raise GdwatchError(
            f"{folder}: not a prepared folder ({error})", f"make it with `gdtrain {command}`"
        ) from error
    side = SIDE + 2 * rim
    more = len(pixels) - len(whole) if pixels.ndim else 0
    if pixels.shape[1:] != (side, side, 3) or more < 0 or (more and crop == "whole"):
        raise GdwatchError(
            f"{folder}: {len(whole)} rows in {MANIFEST}, but {file} is {pixels.shape}",
            f"make it again with `gdtrain {command}`",
        )
    place = {row.path: number for number, row in enumerate(whole)}
    if not place.keys() >= {row.path for row in rows}:
        raise GdwatchError(
            f"{manifest}: names pictures that {MANIFEST} does not",
            "make it again with `gdtrain audit --apply`",
        )
    nobody = range(len(whole), len(pixels))
    kept = np.array([*(place[row.path] for row in rows), *nobody], dtype=np.int64)
    return Prepared(manifest, rows, pixels, kept, hashlib.sha256(content).hexdigest(), rim)


def splits(folder: Path) -> dict[str, str]:
    """Which split every picture of a prepared folder belongs to, by path. Raises GdwatchError."""
    try:
        with (folder / MANIFEST).open(newline="", encoding="utf-8") as stream:
            return {row["path"]: row["split"] for row in csv.DictReader(stream)}
    except (OSError, KeyError) as error:
        raise GdwatchError(
            f"{folder}: not a prepared folder ({error})", "make it with `gdtrain prepare`"
        ) from error


def split_of_path(path: str, known: Mapping[str, str]) -> str:
    """The split of a photograph, also of one without people, which is not in the manifest."""
    return known.get(path) or split_of(hashlib.sha256(path.encode()).hexdigest())


def split_of(name: str) -> str:
    """The split of a name, by its hash: always the same one."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    if share < _TRAIN:
        return "train"
    return "val" if share < _TRAIN + _VAL else "test"


def load_hashes(folder: Path) -> NDArray[np.bool_]:
    """Read the perceptual hashes of every prepared picture: bool (N, 3, 256).

    Raises GdwatchError.
    """
    try:
        packed = np.load(folder / HASHES)
    except (OSError, ValueError) as error:
        raise GdwatchError(
            f"{folder}: no {HASHES} ({error})", "make it with `gdtrain prepare`"
        ) from error
    return np.unpackbits(packed, axis=-1).astype(np.bool_)


def _read(manifest: Path) -> list[Row]:
    with manifest.open(newline="", encoding="utf-8") as stream:
        return [_row(row) for row in csv.DictReader(stream)]


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
