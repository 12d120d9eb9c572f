"""What `gdtrain prepare` leaves for the other commands: a manifest and the pixels beside it.

`gdtrain crop` adds files of crops, which all have the same rows, in the order of `crops.TABLE`.
"""

import csv
import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gdwatch.errors import GdwatchError
from gdwatch.inference.crop_geometry import SURROUNDINGS
from train.data import crops
from train.data.crops import EMPTY, FALSE, OTHER, CropRow
from train.data.sources import MANIFEST

# What a network sees of a photograph: the whole of it squeezed into a square; the square around a
# face, as it is or turned upright; the face with head, shoulders and body.
View = Literal["whole", "face", "upright", "surroundings"]

SIDE = 128  # height of a prepared picture, in pixels: the largest input of a recipe
PIXELS = "pictures.npy"
FILES: Mapping[View, str] = {
    "whole": PIXELS,
    "face": "faces.npy",
    "upright": "upright.npy",
    "surroundings": "surroundings.npy",
}
_CROP = "crop PHOTOGRAPHS --prepared DIR --locator fast"
_COMMANDS: Mapping[View, str] = {  # that make the files; `crop` makes all of them or none
    "whole": "prepare PHOTOGRAPHS --out DIR",
    "face": _CROP,
    "upright": f"{_CROP} --upright --surroundings",
    "surroundings": f"{_CROP} --upright --surroundings",
}
RIM = 16  # pixels above and below a crop, so that augmentation can shift and turn it
FRAMED = (SIDE + 2 * RIM) / SIDE  # side of a crop with its rim, in sides of that without
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
    """A prepared folder, seen in one way.

    stored: uint8 (M, H, W, 3), RGB, memory-mapped: of every picture that was prepared its view,
    with a rim if it is a crop; after these, crops of further faces, and crops without a face.
    places: int64 (N + K,), the indices into `stored` of `rows`, then of the K further crops.
    digest: SHA-256 of the manifest, which has the SHA-256 of every picture, and of the crops.
    crops: of M pictures what they show; none of whole pictures.
    """

    manifest: Path
    rows: list[Row]
    stored: NDArray[np.uint8]
    places: Indices
    digest: str
    view: View = "whole"
    crops: Sequence[CropRow] = ()

    @property
    def folder(self) -> Path:
        """The prepared folder."""
        return self.manifest.parent

    @property
    def inside(self) -> tuple[slice, slice]:
        """The rows and columns of a stored picture without its rim."""
        down, across = self.stored.shape[1:3]
        rim, beside = (down - SIDE) // 2, round(across * (1 - SIDE / down) / 2)
        return slice(rim, down - rim), slice(beside, across - beside)

    def in_view(self, view: View) -> "Prepared":
        """The same rows, seen in another way. Raises GdwatchError if that was not cut out."""
        return self if self.view == view else load_manifest(self.manifest, view)

    @property
    def others(self) -> Indices:
        """The row numbers of further faces, which follow those of `rows`."""
        return self._further((OTHER,))

    @property
    def nobody(self) -> Indices:
        """The row numbers of crops without a face, which follow those of `rows`."""
        return self._further((FALSE, EMPTY))

    def _further(self, kinds: tuple[str, ...]) -> Indices:
        further = range(len(self.rows), len(self.places))
        return np.array([row for row in further if self.crop(row).kind in kinds], dtype=np.int64)

    def crop(self, row: int) -> CropRow:
        """What the crop of a row shows."""
        return self.crops[int(self.places[row])]

    def source(self, row: int) -> str:
        """The source of a row, also of a further crop."""
        return self.rows[row].source if row < len(self.rows) else self.crop(row).source

    def pixels(self, rows: Indices) -> NDArray[np.uint8]:
        """Read the pictures of some rows: uint8 (B, SIDE, W, 3), RGB; W is SIDE or, of
        surroundings, less.
        """
        down, across = self.inside
        return self.stored[self.places[rows], down, across]

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


def load(folder: Path, view: View = "whole") -> Prepared:
    """Open what `gdtrain prepare` wrote, or `gdtrain crop` of it. Raises GdwatchError."""
    return load_manifest(folder / MANIFEST, view)


def load_clean(folder: Path, view: View = "whole") -> Prepared:
    """Open what `gdtrain audit --apply` left of a prepared folder. Raises GdwatchError."""
    if not (folder / CLEAN).is_file():
        raise GdwatchError(f"{folder}: no {CLEAN} in it", "write it with `gdtrain audit --apply`")
    return load_manifest(folder / CLEAN, view)


def stored_shape(view: View) -> tuple[int, int]:
    """Height and width of a stored picture, in pixels."""
    if view == "whole":
        return SIDE, SIDE
    width, height = SURROUNDINGS if view == "surroundings" else (SIDE, SIDE)
    return round(height * FRAMED), round(width * FRAMED)


def load_manifest(manifest: Path, view: View = "whole") -> Prepared:
    """Open a prepared folder by one of its manifests. Raises GdwatchError."""
    folder = manifest.parent
    file, command = FILES[view], _COMMANDS[view].replace("DIR", shlex.quote(str(folder)))
    if (folder / MANIFEST).exists() and not (folder / file).exists():
        raise GdwatchError(f"{folder}: no {file} in it", f"make it with `gdtrain {command}`")
    cut: list[CropRow] = []
    try:
        whole = _read(folder / MANIFEST)
        content = manifest.read_bytes()
        rows = _read(manifest)
        pixels = np.load(folder / file, mmap_mode="r")
        if view != "whole":
            cut = crops.read(folder)
            content += (folder / crops.TABLE).read_bytes()
    except (OSError, ValueError, KeyError) as error:
        raise GdwatchError(
            f"{folder}: not a prepared folder ({error})", f"make it with `gdtrain {command}`"
        ) from error
    listed = cut if view != "whole" else whole
    names = [each.path for each in listed[: len(whole)]]
    if pixels.shape != (len(listed), *stored_shape(view), 3) or names != [r.path for r in whole]:
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
    further = range(len(whole), len(pixels))
    kept = np.array([*(place[row.path] for row in rows), *further], dtype=np.int64)
    return Prepared(manifest, rows, pixels, kept, hashlib.sha256(content).hexdigest(), view, cut)


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
