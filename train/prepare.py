"""Decode every labelled picture once, exactly as the service does, and split the whole."""

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from rich.console import Console
from rich.progress import track

from gdwatch.decode import Limits, Refused, decode
from gdwatch.errors import GdwatchError, UsageError
from train.pictures import COLUMNS, PIXELS, SIDE, Row
from train.sources import CLASSES, MANIFEST, Entry, entries

LIMITS = Limits(max_pixels=100_000_000)
_TRAIN, _VAL = 0.84, 0.08  # the rest is the test split


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture that was left out, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What `prepare` did.

    duplicates: pictures left out because the same bytes came before them.
    """

    rows: list[Row]
    unreadable: list[Unreadable]
    duplicates: int


def prepare(folders: Sequence[Path], out: Path) -> Summary:
    """Write `out`/manifest.csv and `out`/pictures.npy from the pictures of all folders.

    Raises GdwatchError where one of the classes is missing.
    """
    if out.resolve() in [folder.resolve() for folder in folders]:
        raise UsageError(
            f"{out}: holds the pictures",
            f"give --out another folder: its {MANIFEST} would be overwritten",
        )
    listed = entries(folders)
    where = ", ".join(map(str, folders))
    _require_both_classes([entry.label for entry in listed], where)
    out.mkdir(parents=True, exist_ok=True)
    pixels, manifest = out / PIXELS, out / MANIFEST
    manifest.unlink(missing_ok=True)  # from here until the end the folder is not a prepared one
    shown = track(
        listed,
        "decoding",
        console=(console := Console(stderr=True)),
        disable=not console.is_terminal,
    )
    summary = _decode_all(shown, pixels)
    _require_both_classes([row.label for row in summary.rows], f"{where}: readable pictures")
    aside = manifest.with_name(manifest.name + ".part")
    with aside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(row) for row in summary.rows)
    aside.replace(manifest)
    return summary


def split_of(identity: str, sha256: str) -> str:
    """Which split a picture belongs to: always the same one, and one for all of a person."""
    digest = hashlib.blake2b((identity or sha256).encode(), digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    if share < _TRAIN:
        return "train"
    return "val" if share < _TRAIN + _VAL else "test"


def _decode_all(listed: Iterable[Entry], path: Path) -> Summary:
    """Write the pixels of all that can be read; the first of equal files is kept."""
    rows: list[Row] = []
    unreadable: list[Unreadable] = []
    seen: set[str] = set()
    duplicates = 0
    with path.open("wb") as stream:
        _write_header(stream, 0)
        for entry in listed:
            try:
                content = _read(entry)
                sha256 = hashlib.sha256(content).hexdigest()
                if sha256 in seen:
                    duplicates += 1
                    continue
                header, square = decode(content, LIMITS, SIDE)
            except (Refused, OSError) as error:
                unreadable.append(Unreadable(entry.path, str(error)))
                continue
            seen.add(sha256)
            rows.append(_row(entry, sha256, header.width, header.height))
            stream.write(square.tobytes())
        stream.seek(0)
        _write_header(stream, len(rows))
    return Summary(rows, unreadable, duplicates)


def _read(entry: Entry) -> bytes:
    if entry.place is None:
        raise FileNotFoundError("neither beside the manifest nor in a tar there")
    return entry.place.read()


def _write_header(stream: BinaryIO, count: int) -> None:
    # NumPy pads the header so that the first axis can grow in place: its length stays the same.
    shape = (count, SIDE, SIDE, 3)
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )


def _row(entry: Entry, sha256: str, width: int, height: int) -> Row:
    return Row(
        path=entry.path,
        label=entry.label,
        source=entry.source,
        age=entry.age,
        group=entry.group,
        identity=entry.identity,
        split=entry.split or split_of(entry.identity, sha256),
        sha256=sha256,
        width=width,
        height=height,
    )


def _require_both_classes(labels: Sequence[str], where: str) -> None:
    counts = {name: labels.count(name) for name in CLASSES}
    if not labels:
        raise GdwatchError(f"{where}: no pictures", "put pictures into female/ and male/")
    for name, count in counts.items():
        if count == 0:
            raise GdwatchError(
                f"{where}: no picture of class {name}, {len(labels)} of the other one",
                "training needs both classes",
            )
