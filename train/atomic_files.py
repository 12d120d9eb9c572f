"""Write files atomically: whole or not at all, whatever ends the program while it writes."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from gdwatch.errors import GdwatchError
from gdwatch.files.atomic_write import replacing_durably

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@contextmanager
def publish(path: Path) -> Iterator[Path]:
    """Give a path to write to; it becomes `path` when the block ends, durably.

    Raises GdwatchError if it cannot be written; what stood at `path` before is intact then.
    """
    try:
        with replacing_durably(path) as aside:
            yield aside
    except (OSError, RuntimeError) as error:  # RuntimeError is what torch raises on a full disk
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise GdwatchError(
            f"{path}: could not be written ({reason})",
            "make room and give the same command again; what was there before is intact",
        ) from error


def publish_rows(path: Path, columns: Sequence[str], rows: "Iterable[DataclassInstance]") -> None:
    """Write dataclasses as CSV. Raises GdwatchError."""
    with publish(path) as aside, aside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are not there. Raises GdwatchError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise GdwatchError(
            f"{path}: cannot be made a folder ({reason})", "name another one"
        ) from error
