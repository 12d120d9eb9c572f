"""Decode every labelled picture once, exactly as the service does, and split them."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from gdwatch.decode import reduce
from gdwatch.decode.decoder import decode
from gdwatch.decode.formats import Limits, Refused
from gdwatch.errors import GdwatchError, UsageError
from gdwatch.values import Header
from train.atomic_files import make_folder, publish, publish_rows
from train.data import near_duplicates
from train.data.near_duplicates import connected_groups, inseparable_groups, near_pairs
from train.data.prepared_set import CLEAN, COLUMNS, HASHES, PIXELS, SIDE, Row, load_hashes, split_of
from train.data.sources import CLASSES, MANIFEST, Entry, entries, require_sources

LIMITS = Limits(max_pixels=100_000_000)
UNREADABLE = "unreadable.csv"
_PRIORITY = ["", "train", "val", "test"]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture that was left out.

    reason: the ledger's for such a file, or `unreadable` where its bytes cannot be had.
    detail: what else is known, one line.
    """

    path: str
    reason: str
    detail: str


_UNREADABLE_COLUMNS = [field.name for field in fields(Unreadable)]


@dataclass(frozen=True, slots=True)
class Summary:
    """What `prepare` did; no picture that can be read and has a class is left out.

    near_duplicates: how many pictures are copies of another one.
    without_class: pictures whose label is neither of the classes.
    """

    rows: list[Row]
    unreadable: list[Unreadable]
    near_duplicates: int
    without_class: int


def prepare(data: Sequence[Path], out: Path, sources: Collection[str] | None = None) -> Summary:
    """Write manifest.csv, pictures.npy, hashes.npy and unreadable.csv into `out`.

    data: as for `sources.entries`; sources: take no others' pictures.

    Raises GdwatchError where one of the classes is missing, or `out` cannot be written.
    """
    if out.resolve() in [(path if path.is_dir() else path.parent).resolve() for path in data]:
        raise UsageError(
            f"{out}: holds the pictures",
            f"give --out another folder: its {MANIFEST} would be overwritten",
        )
    where = ", ".join(map(str, data))
    listed = entries(data)
    if sources:
        require_sources(sources, listed, data)
        listed = [entry for entry in listed if entry.source in sources]
    return prepare_listed(listed, out, where)


def prepare_listed(listed: Sequence[Entry], out: Path, where: str) -> Summary:
    """As `prepare`, of pictures that are listed already. where: what they are, for errors.

    Raises GdwatchError.
    """
    with_class = [entry for entry in listed if entry.label in CLASSES]
    _require_both_classes([entry.label for entry in with_class], where)
    make_folder(out)
    # Until the new manifest is written, this must not pass for a prepared folder.
    (out / MANIFEST).unlink(missing_ok=True)
    (out / CLEAN).unlink(missing_ok=True)
    rows, unreadable = _decode_all(with_class, out)
    _require_both_classes([row.label for row in rows], f"{where}: readable pictures")
    pairs = near_pairs(load_hashes(out))
    photographs = int(connected_groups(len(rows), pairs).max()) + 1
    publish_rows(out / UNREADABLE, _UNREADABLE_COLUMNS, unreadable)
    publish_rows(out / MANIFEST, COLUMNS, rows := split_all(rows, pairs))
    return Summary(rows, unreadable, len(rows) - photographs, len(listed) - len(with_class))


def split_all(rows: Sequence[Row], pairs: NDArray[np.int64]) -> list[Row]:
    """Give every row its split: each of the `inseparable_groups` goes to one split as a whole.

    Splits that the manifest gives stay as they are, and the rest of their group goes there too.

    pairs: int64 (P, 2), rows that show one photograph.
    """
    groups = inseparable_groups([row.identity for row in rows], pairs).tolist()
    given: dict[int, str] = {}
    names: dict[int, str] = {}
    for row, group in zip(rows, groups, strict=True):
        # A leak into the test split is worse than a picture less to train with.
        given[group] = max(given.get(group, ""), row.split, key=_PRIORITY.index)
        names[group] = min(names.get(group, row.identity or row.sha256), row.identity or row.sha256)
    return [
        replace(row, split=row.split or given[group] or split_of(names[group]))
        for row, group in zip(rows, groups, strict=True)
    ]


def _decode_all(listed: Sequence[Entry], out: Path) -> tuple[list[Row], list[Unreadable]]:
    """Write the pixels and the hashes of all pictures that can be read."""
    rows: list[Row] = []
    unreadable: list[Unreadable] = []
    hashed: list[near_duplicates.Hashes] = []
    console = Console(stderr=True)
    shown = track(listed, "decoding", console=console, disable=not console.is_terminal)
    with publish(out / PIXELS) as aside, aside.open("wb") as stream:
        write_header(stream, 0, (SIDE, SIDE))
        for entry in shown:
            try:
                content = _read(entry)
                header, square = decode(content, LIMITS, partial(reduce.whole, side=SIDE))
            except Refused as refused:
                unreadable.append(Unreadable(entry.path, refused.reason, refused.detail))
                continue
            except _NotRead as error:
                unreadable.append(Unreadable(entry.path, "unreadable", str(error)))
                continue
            rows.append(_row(entry, hashlib.sha256(content).hexdigest(), header))
            hashed.append(near_duplicates.hashes(square))
            stream.write(square.tobytes())
        stream.seek(0)
        write_header(stream, len(rows), (SIDE, SIDE))
    with publish(out / HASHES) as aside, aside.open("wb") as stream:
        np.save(stream, np.packbits(np.array(hashed), axis=-1))
    return rows, unreadable


class _NotRead(Exception):  # noqa: N818 - an answer about one picture
    pass


def _read(entry: Entry) -> bytes:
    if entry.place is None:
        raise _NotRead("neither beside the manifest nor in a tar there")
    try:
        return entry.place.read()
    except OSError as error:
        raise _NotRead((error.strerror or str(error)).lower()) from error


def write_header(stream: BinaryIO, count: int, size: tuple[int, int]) -> None:
    """Begin a NumPy file of so many pictures, uint8 (count, H, W, 3). size: H and W."""
    # NumPy pads the header so that the first axis can grow in place: its length stays the same.
    shape = (count, *size, 3)
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )


def _row(entry: Entry, sha256: str, header: Header) -> Row:
    return Row(
        path=entry.path,
        label=entry.label,
        source=entry.source,
        age=entry.age,
        group=entry.group,
        identity=entry.identity,
        split=entry.split,
        sha256=sha256,
        width=header.width,
        height=header.height,
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
