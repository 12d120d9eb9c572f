"""List labelled pictures: of a manifest, of folders `female` and `male`, or of tars."""

import csv
import io
import os
import tarfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.files.escaping import escape

CLASSES = ("female", "male")
NOBODY = "none"  # nobody is on the picture
UNKNOWN = "unknown"  # people are, of whom the label says nothing
LABELS = (*CLASSES, NOBODY, UNKNOWN)
SPLITS = ("train", "val", "test")
MANIFEST = "manifest.csv"
LEFT_OUT = "leave-out.csv"  # beside it: paths of pictures that no command takes
UNLABELLED = "unlabelled.csv"  # beside it, of the same form: people without a label


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
    """A labelled picture that was not read yet.

    path: as the manifest names it or, escaped as in the ledger, the folder or the tar; age: in
        years; group, identity: may be empty.
    split: one of SPLITS, or empty where none is given.
    place: None where the manifest names a picture that is not there.
    """

    path: str
    label: str
    source: str
    age: int | None
    group: str
    identity: str
    split: str
    place: Place | None


def entries(data: Sequence[Path]) -> list[Entry]:
    """List the pictures of all of `data`, those of label `none` too.

    data: each a folder with manifest.csv, female/ and male/, or tars in it; or one of these files.
    Beside a manifest, unlabelled.csv lists pictures of unknown persons, and leave-out.csv, for all
    of `data`, those that are left out.

    Raises GdwatchError where there is nothing to train with, or two pictures have one name.
    """
    found: list[Entry] = []
    left_out: set[str] = set()
    for path in data:
        prefix = f"{_name(path)}/" if len(data) > 1 else ""
        found.extend(_entries(path, prefix))
        left_out |= _left_out(path if path.is_dir() else path.parent)
    found = [entry for entry in found if entry.path not in left_out]
    named: set[str] = set()
    for entry in found:
        if entry.path in named:
            raise GdwatchError(
                f"{entry.path}: names two pictures", "rename one of them, or its folder"
            )
        named.add(entry.path)
    return found


def require_sources(names: Collection[str], listed: Sequence[Entry], data: Sequence[Path]) -> None:
    """Raise UsageError unless there are pictures of every source that is named."""
    there = sorted({entry.source for entry in listed})
    for name in names:
        if name not in there:
            raise UsageError(
                f"{', '.join(map(str, data))}: no source {name}", f"there are {', '.join(there)}"
            )


def _entries(path: Path, prefix: str) -> list[Entry]:
    if path.name == MANIFEST and path.is_file():
        return _from_manifest(path.parent)
    if path.suffix == ".tar" and path.is_file():
        return _from_tar(path, prefix)
    if (path / MANIFEST).is_file():
        return _from_manifest(path)
    if any((path / label).is_dir() for label in CLASSES):
        return _from_class_folders(path, prefix)
    if not path.is_dir():
        raise GdwatchError(f"{path}: no such folder", f"name a folder, a {MANIFEST} or a .tar")
    tars = sorted(path.glob("*.tar"))
    if not tars:
        raise GdwatchError(
            f"{path}: neither {MANIFEST} nor folders female/ and male/ nor tars in it",
            "give the folder that holds them",
        )
    return [entry for tar in tars for entry in _from_tar(tar, f"{prefix}{_name(tar)}/")]


def _name(path: Path) -> str:
    return _text(path.stem if path.suffix == ".tar" else path.resolve().name)


def _text(path: str) -> str:
    """A path as one line of UTF-8: it stands in tables, and names may be any bytes."""
    return escape(os.fsencode(path))


def _from_class_folders(folder: Path, prefix: str) -> list[Entry]:
    return [
        _unknown(prefix + _text(file.relative_to(folder).as_posix()), label, _name(folder), place)
        for label in CLASSES
        for file in sorted((folder / label).rglob("*"))
        if file.is_file() and not file.name.startswith(".")
        for place in [Place(file, 0, file.stat().st_size)]
    ]


def _from_tar(path: Path, prefix: str) -> list[Entry]:
    found = []
    for name, place in sorted(_index_tar(path).items()):
        labels = [part for part in name.split("/")[:-1] if part in CLASSES]
        if labels and not name.split("/")[-1].startswith("."):
            found.append(_unknown(prefix + _text(name), labels[-1], _name(path), place))
    if not found:
        raise GdwatchError(f"{path}: no folders female/ and male/ in it", "make it of both")
    return found


def _unknown(path: str, label: str, source: str, place: Place) -> Entry:
    """A picture with a class and no other metadata."""
    return Entry(path, label, source, age=None, group="", identity="", split="", place=place)


def _from_manifest(folder: Path) -> list[Entry]:
    in_tars = _index_tars(folder)
    found = _from_table(folder / MANIFEST, in_tars)
    if (folder / UNLABELLED).is_file():
        found += _from_table(folder / UNLABELLED, in_tars)
    return found


def _from_table(path: Path, in_tars: dict[str, Place]) -> list[Entry]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GdwatchError(f"{path}: cannot be read ({error})", "write it as UTF-8") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    for column in ("path", "label"):
        if column not in (rows.fieldnames or ()):
            raise GdwatchError(
                f"{path}: no column `{column}`", "its first line must be path,label,…"
            )
    return [
        _entry(row, f"{path}:{rows.line_num}", _place(path.parent, row["path"], in_tars))
        for row in rows
    ]


def _left_out(folder: Path) -> set[str]:
    path = folder / LEFT_OUT
    if not path.is_file():
        return set()
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        if "path" not in (rows.fieldnames or ()):
            raise GdwatchError(f"{path}: no column `path`", "its first line must be path")
        return {row["path"] for row in rows}


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
    index: dict[str, Place] = {}
    for path in sorted(folder.glob("*.tar")):
        index |= _index_tar(path)
    return index


def _index_tar(path: Path) -> dict[str, Place]:
    """The place of each member of a tar, by name: it is never unpacked."""
    try:
        with tarfile.open(path, "r:") as tar:
            return {
                member.name.removeprefix("./"): Place(path, member.offset_data, member.size)
                for member in tar
                if member.isfile()
            }
    except (tarfile.TarError, OSError) as error:
        raise GdwatchError(
            f"{path}: not a whole, uncompressed tar ({error})", "make it again with `tar -cf`"
        ) from error
