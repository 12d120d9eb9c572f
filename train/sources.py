"""Where labelled pictures lie: a folder with a manifest, or the folders `female` and `male`."""

import csv
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gdwatch.errors import GdwatchError

CLASSES = ("female", "male")
LABELS = (*CLASSES, "none")
SPLITS = ("train", "val", "test")
MANIFEST = "manifest.csv"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of a picture lie: a file of its own, or a part of an uncompressed tar.

    offset, size: in bytes.
    """

    file: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """Read the picture's bytes. Raises OSError."""
        with self.file.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.size)


@dataclass(frozen=True, slots=True)
class Entry:
    """A labelled picture that was not yet looked at.

    path: as the manifest or the folder names it; age: in years; group, identity: may be empty.
    split: one of SPLITS, or empty where none is given.
    place: None where the manifest names a picture that is nowhere.
    """

    path: str
    label: str
    source: str
    age: int | None
    group: str
    identity: str
    split: str
    place: Place | None


def entries(folders: Sequence[Path]) -> list[Entry]:
    """List the pictures of all folders, without those of label `none`.

    Raises GdwatchError where a folder holds nothing to train with.
    """
    found: list[Entry] = []
    for folder in folders:
        if (folder / MANIFEST).is_file():
            found.extend(_from_manifest(folder))
        elif any((folder / label).is_dir() for label in CLASSES):
            found.extend(_from_class_folders(folder))
        else:
            raise GdwatchError(
                f"{folder}: neither {MANIFEST} nor folders female/ and male/ in it",
                "give the folder that holds them",
            )
    return [entry for entry in found if entry.label in CLASSES]


def _from_class_folders(folder: Path) -> list[Entry]:
    source = folder.resolve().name
    return [
        Entry(
            path=file.relative_to(folder).as_posix(),
            label=label,
            source=source,
            age=None,
            group="",
            identity="",
            split="",
            place=Place(file, 0, file.stat().st_size),
        )
        for label in CLASSES
        for file in sorted((folder / label).rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    ]


def _from_manifest(folder: Path) -> list[Entry]:
    path = folder / MANIFEST
    in_tars = _index_tars(folder)
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        for column in ("path", "label"):
            if column not in (rows.fieldnames or ()):
                raise GdwatchError(
                    f"{path}: no column `{column}`", "its first line must be path,label,…"
                )
        return [
            _entry(row, f"{path}:{rows.line_num}", _place(folder, row["path"], in_tars))
            for row in rows
        ]


def _entry(row: dict[str, str], where: str, place: Place | None) -> Entry:
    label, split, age = row["label"], row.get("split") or "", row.get("age") or ""
    if label not in LABELS:
        raise GdwatchError(f"{where}: label {label}", f"use {', '.join(LABELS)}")
    if split and split not in SPLITS:
        raise GdwatchError(
            f"{where}: split {split}", f"use {', '.join(SPLITS)}, or leave the column empty"
        )
    if age and not age.isdecimal():
        raise GdwatchError(f"{where}: age {age}", "use whole years, or leave it empty")
    return Entry(
        path=row["path"],
        label=label,
        source=row.get("source") or row["path"].split("/")[0],
        age=int(age) if age else None,
        group=row.get("group") or "",
        identity=row.get("identity") or "",
        split=split,
        place=place,
    )


def _place(folder: Path, path: str, in_tars: dict[str, Place]) -> Place | None:
    file = folder / path
    return Place(file, 0, file.stat().st_size) if file.is_file() else in_tars.get(path)


def _index_tars(folder: Path) -> dict[str, Place]:
    """Where the members of the folder's tars lie, by name: the tars are never unpacked."""
    index: dict[str, Place] = {}
    for path in sorted(folder.glob("*.tar")):
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    if member.isfile():
                        name = member.name.removeprefix("./")
                        index[name] = Place(path, member.offset_data, member.size)
        except tarfile.TarError as error:
            raise GdwatchError(
                f"{path}: not a whole, uncompressed tar ({error})", "make it again with `tar -cf`"
            ) from error
    return index
