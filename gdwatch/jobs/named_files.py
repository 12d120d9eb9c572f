"""The rows that the words of a command name: ids, paths, folders, and those that were moved."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from gdwatch.errors import GdwatchError
from gdwatch.files import escaping
from gdwatch.files.walk import Unlisted, files_below
from gdwatch.filing import found_files
from gdwatch.jobs.check import pages
from gdwatch.ledger import queries
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.rows import Row
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings

_PAGE = 500


@dataclass(slots=True)
class NamedFiles:
    """The rows, each once, in the order given; and why other names could not be taken."""

    rows: list[Row] = field(default_factory=list)
    refused: list[GdwatchError] = field(default_factory=list)


def named_files(
    ledger: Ledger, folders: Folders, settings: Settings, names: Iterable[str]
) -> NamedFiles:
    """Return the rows whose files these names name; each file is where its row says.

    A file that was moved by hand, or is back, is noted on the way: wherever in the answer folders
    it lies, it is found. names: ids, paths, and answer folders or folders below one.

    Raises Trouble.
    """
    found = NamedFiles()
    ids: dict[int, None] = {}
    each = _expanded(names, folders, found.refused)
    while page := list(islice(each, _PAGE)):
        ids |= dict.fromkeys(_ids_of(ledger, folders, settings, page, found.refused))
    rows = _rows(ledger, list(ids))
    if any(_is_away(folders, rows)):
        for paths in pages(folders, settings.ignore):  # it takes long: once for all
            found_files.settle(ledger, folders, settings, paths)
        rows = _rows(ledger, list(ids))
    gone = [row for row, is_away in zip(rows, _is_away(folders, rows), strict=True) if is_away]
    taken = [row for row in gone if not row.is_restored]
    if taken and ledger.command_id is not None:
        with ledger.writing() as transaction:
            transaction.mark_missing(taken)
    found.refused += [_why_not_there(ledger, row) for row in gone]
    missing = {row.id for row in gone}
    found.rows += [row for row in rows if row.id not in missing]
    return found


def all_files(ledger: Ledger, folders: Folders, settings: Settings) -> NamedFiles:
    """Return the rows of all files that are filed, or on their way.

    Files that were moved by hand, or are back, are noted on the way. Raises Trouble.
    """
    for paths in pages(folders, settings.ignore):
        found_files.settle(ledger, folders, settings, paths)
    return NamedFiles(list(queries.rows_in(ledger, ("filed", "recorded"))))


def _why_not_there(ledger: Ledger, row: Row) -> GdwatchError:
    if row.is_restored:
        return GdwatchError(
            f"id {row.id}: was put back, to {ledger.text(row.path)}",
            "`gdwatch undo` takes a restore back",
        )
    return taken_away(ledger.text(row.path))


def taken_away(name: str) -> GdwatchError:
    """Return the error for a file that is nowhere in the answer folders."""
    return GdwatchError(f"{name}: its file has been taken away", "drop it into the inbox again")


def answer_folders(path: Path, folders: Folders) -> list[bytes]:
    """Return the folders to walk: all answer folders for ROOT, else the given folder itself.

    Raises GdwatchError unless it is ROOT, an answer folder or a folder below one.
    """
    wanted = os.fsencode(path.resolve())
    if not path.is_dir():
        raise GdwatchError(f"{path}: no such folder", "name ROOT, an answer folder or one below it")
    if wanted == folders.root:
        return [base for base in folders.answers.values() if Path(os.fsdecode(base)).is_dir()]
    if wanted in folders.answers.values() or folders.outcome_of(wanted):
        return [wanted]
    raise GdwatchError(
        f"{path}: not an answer folder of {os.fsdecode(folders.root)}",
        "use `gdwatch classify`, or drop the photographs into the inbox",
    )


def _expanded(
    names: Iterable[str], folders: Folders, refused: list[GdwatchError]
) -> Iterator[str | bytes]:
    """Yield ids and other names as they are; for a folder the paths of its files."""
    for name in names:
        path = Path(name)
        if not path.is_dir() and (Path(os.fsdecode(folders.root)) / name).is_dir():
            path = Path(os.fsdecode(folders.root)) / name
        if _is_id(name) or not path.is_dir():
            yield name
            continue
        try:
            chosen = answer_folders(path, folders)
        except GdwatchError as error:
            refused.append(error)
            continue
        for each in (each for folder in chosen for each in files_below(folder, ())):
            if isinstance(each, Unlisted):
                name = escaping.escape(each.path)
                refused.append(GdwatchError(f"{name}: {each.why.lower()}", "mend its permissions"))
            else:
                yield each


def _is_id(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _ids_of(
    ledger: Ledger,
    folders: Folders,
    settings: Settings,
    page: Sequence[str | bytes],
    refused: list[GdwatchError],
) -> Iterator[int]:
    paths = {name: path for name in page if (path := _path_of(name, folders)) is not None}
    found_files.settle(ledger, folders, settings, sorted(set(paths.values())))
    with ledger.reading() as connection:
        at = ledger.transaction(connection).at(set(paths.values()))
        for name in page:
            row = at.get(paths[name]) if name in paths else None
            try:
                if row is None:
                    given = name if isinstance(name, str) else os.fsdecode(name)
                    row = queries.find(ledger, connection, given)
                yield row.id
            except GdwatchError as error:
                refused.append(error)


def _path_of(name: str | bytes, folders: Folders) -> bytes | None:
    """Return the path in an answer folder that a name means; None if it is none."""
    if isinstance(name, bytes):
        return name
    if _is_id(name):
        return None
    given = os.fsencode(name)
    for path in (queries.absolute(given), folders.root + b"/" + given):
        if folders.outcome_of(path) is not None and Path(os.fsdecode(path)).is_file():
            return path
    return None


def _rows(ledger: Ledger, ids: Sequence[int]) -> list[Row]:
    with ledger.reading() as connection:
        return ledger.transaction(connection).rows(ids)


def _is_away(folders: Folders, rows: Sequence[Row]) -> list[bool]:
    """Return for each row whether its file is not where it says; one on its way is not away."""
    with Handles(folders) as handles:
        return [
            row.state == "missing" or (row.state == "filed" and not handles.is_file(row.path))
            for row in rows
        ]
