"""Compares the ledger with the answer folders, page by page, while the service may run."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from gdwatch.errors import GdwatchError
from gdwatch.files import escaping
from gdwatch.files.walk import Unlisted, files_below
from gdwatch.filing import found_files
from gdwatch.filing.found_files import FoundFile
from gdwatch.ledger import queries
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.rows import Row
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings

_PAGE = 500  # rows or files in one query, and rows in one transaction


@dataclass(slots=True)
class Comparison:
    """What differs between the rows and the files of a root.

    missing: rows whose file is nowhere in the tree, marked or not.
    found: files that were moved by hand, or are back, and are not noted as yet.
    without_row: files that no row records. away: answer folders that are not there, or are empty
        although rows say otherwise.
    """

    missing: list[Row] = field(default_factory=list)
    found: list[FoundFile] = field(default_factory=list)
    without_row: list[bytes] = field(default_factory=list)
    away: list[bytes] = field(default_factory=list)


def damage(ledger: Ledger) -> list[str]:
    """The faults that SQLite's own checks find, one line each; none are known for PostgreSQL."""
    if ledger.engine.dialect.name != "sqlite":
        return []
    with ledger.reading() as connection:
        answers = list(connection.exec_driver_sql("PRAGMA quick_check").scalars())
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    found = [answer for answer in answers if answer != "ok"]
    return found + [f"row {row[1]} of {row[0]} names a row that is not there" for row in broken]


def compare(ledger: Ledger, folders: Folders, settings: Settings) -> Comparison:
    """Compare rows and files; writes nothing. Raises Trouble."""
    with ledger.reading() as connection:
        counts = queries.counts(connection, ledger.root_id)
    away = [
        base
        for outcome, base in folders.answers.items()
        if not (folder := Path(os.fsdecode(base))).is_dir()
        or (counts[outcome] and not any(folder.iterdir()))
    ]
    compared = Comparison(away=away)
    for page in pages(folders, settings.ignore):
        found = found_files.look(ledger, folders, settings, page)
        compared.found += found
        compared.without_row += _without_row(ledger, page, {each.path for each in found})
    there = {each.row.id for each in compared.found}
    rows = (
        row
        for row in queries.rows_in(ledger, ("filed", "missing"))
        if row.id not in there and not row.is_restored
    )
    with Handles(folders) as handles:
        compared.missing = [
            row
            for row in rows
            # Not looked for in a folder that is away: that would make it.
            if row.state == "missing"
            or _base_of(row, folders) in away
            or not handles.is_file(row.path)
        ]
    return compared


def _base_of(row: Row, folders: Folders) -> bytes | None:
    outcome = folders.outcome_of(row.path)
    return None if outcome is None else folders.answers[outcome]


def mark(
    ledger: Ledger, folders: Folders, settings: Settings, compared: Comparison, *, force: bool
) -> None:
    """Write what was found: rows follow their files, and those without one become `missing`.

    force: also if a whole folder is away.

    Raises GdwatchError if one is, before anything is written; Trouble.
    """
    if compared.away and not force:
        names = ", ".join(map(escaping.escape, compared.away))
        raise GdwatchError(
            f"{names}: the whole folder is away, or empty",
            "put it back, or mount its disk; --force marks its rows as missing all the same",
        )
    found_files.follow(ledger, folders, settings, compared.found)
    gone = (row for row in compared.missing if row.state == "filed")
    while page := list(islice(gone, _PAGE)):
        with ledger.writing() as transaction:
            transaction.mark_missing(page)


def pages(folders: Folders, ignored: tuple[str, ...]) -> Iterator[list[bytes]]:
    """Yield the files of the answer folders, some hundred at a time.

    ignored: glob patterns of names that are left out, such as those that file managers create.
    """
    for folder in folders.answers.values():
        if Path(os.fsdecode(folder)).is_dir():
            files = (
                path for path in files_below(folder, ignored) if not isinstance(path, Unlisted)
            )
            while page := list(islice(files, _PAGE)):
                yield page


def _without_row(ledger: Ledger, page: list[bytes], found: set[bytes]) -> Iterator[bytes]:
    with ledger.reading() as connection:
        transaction = ledger.transaction(connection)
        paths = set(page)
        known = transaction.at(paths).keys() | transaction.being_moved(paths) | found
    # A file that no longer exists was filed elsewhere since it was listed.
    yield from (path for path in page if path not in known and os.path.lexists(path))
