"""Compares the ledger with the answer folders, page by page, while the service may run."""

import os
from collections.abc import Iterator
from itertools import islice

from gdwatch.files.walk import Unlisted, files_below
from gdwatch.ledger import queries
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.rows import Row
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders

_PAGE = 500  # rows or files in one query, and rows in one transaction


def damage(ledger: Ledger) -> list[str]:
    """The faults that SQLite's own checks find, one line each; none are known for PostgreSQL."""
    if ledger.engine.dialect.name != "sqlite":
        return []
    with ledger.reading() as connection:
        answers = list(connection.exec_driver_sql("PRAGMA quick_check").scalars())
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    found = [answer for answer in answers if answer != "ok"]
    return found + [f"row {row[1]} of {row[0]} names a row that is not there" for row in broken]


def mark_missing(ledger: Ledger, folders: Folders) -> Iterator[Row]:
    """Mark the filed rows whose file no longer exists as missing, and yield them."""
    filed = queries.filed_rows(ledger, None, None)
    with Handles(folders) as handles:
        while page := list(islice(filed, _PAGE)):
            gone = [row for row in page if not handles.is_file(row.path)]
            if gone:
                with ledger.writing() as transaction:
                    transaction.mark_missing(gone)
                yield from gone


def without_row(ledger: Ledger, folders: Folders, ignored: tuple[str, ...]) -> Iterator[bytes]:
    """Yield the files in the answer folders that no row records.

    ignored: glob patterns of names that are left out, such as those that file managers create.
    """
    for folder in folders.answers.values():
        found = (each for each in files_below(folder, ignored) if not isinstance(each, Unlisted))
        while page := list(islice(found, _PAGE)):
            paths = set(page)
            with ledger.reading() as connection:
                transaction = ledger.transaction(connection)
                known = transaction.at(paths).keys() | transaction.being_moved(paths)
            # A file that no longer exists was filed elsewhere since it was listed.
            yield from (path for path in page if path not in known and os.path.lexists(path))
