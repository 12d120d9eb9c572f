"""What commands ask the ledger: rows by id, path or outcome, results, corrections, counts."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from gdwatch.errors import GdwatchError
from gdwatch.files import escaping
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.rows import Row, row_of
from gdwatch.ledger.tables import commands, corrections, files, models, moves, results

_PAGE = 500
_NEWEST = 10_000  # rows that `pace` looks at


@dataclass(frozen=True, slots=True)
class Pace:
    """How files have been filed lately. last: when the newest was; files: since a given time."""

    last: datetime | None
    files: int


def find(ledger: Ledger, connection: Connection, which: str) -> Row:
    """Return the row that an id or a path names.

    A relative path is taken from the working folder, then from ROOT. A current path comes before
    an original one. Raises GdwatchError if there is no such row.
    """
    if which.isascii() and which.isdigit():
        number = min(int(which), 2**63 - 1)  # the largest integer that a database holds
        query = sa.select(files).where(files.c.id == number, files.c.root_id == ledger.root_id)
        found = connection.execute(query).first()
        if found is None:
            raise GdwatchError(f"id {which}: no such row", "`gdwatch show PATH` finds it by path")
        return row_of(found, ledger.root)
    given = os.fsencode(which)
    texts = [ledger.text(path) for path in (absolute(given), ledger.root + b"/" + given)]
    last = files.c.id.desc()
    for column in (files.c.path, files.c.source_path, files.c.original_path):
        for text in texts:
            query = sa.select(files).where(column == text, files.c.root_id == ledger.root_id)
            # The path of a missing file may belong to another file by now.
            query = query.order_by(files.c.state == "missing", last).limit(1)
            found = connection.execute(query).first()
            if found is not None:
                return row_of(found, ledger.root)
    raise GdwatchError(f"{escaping.escape(given)}: not in the ledger", "name an id or a path of it")


def absolute(path: bytes) -> bytes:
    """Return a path from the working folder, with the links of its folder resolved."""
    # The name is not resolved: a link would lead to another file than the one that was named.
    folder, name = os.path.split(path.rstrip(b"/"))
    return os.path.realpath(folder or b".") + b"/" + name


def current_result(connection: Connection, row: Row) -> sa.RowMapping | None:
    """Return the current result of a file; None if there is none."""
    query = sa.select(results).where(results.c.id == row.result_id)
    return connection.execute(query).mappings().first()


def result_of(connection: Connection, file_id: int, sha256: str) -> sa.RowMapping | None:
    """Return a file's newest result by the model with this SHA-256; None if there is none."""
    query = (
        sa.select(results)
        .join(models, models.c.id == results.c.model_id)
        .where(results.c.file_id == file_id, models.c.sha256 == sha256)
        .order_by(results.c.id.desc())
        .limit(1)
    )
    return connection.execute(query).mappings().first()


def named(ledger: Ledger, connection: Connection, name: str) -> Sequence[Row]:
    """Return the root's rows of files that were dropped under this name, by id.

    name: without folders, as the ledger stores it.
    """
    query = (
        sa.select(files)
        .where(files.c.root_id == ledger.root_id, files.c.name == name)
        .order_by(files.c.id)
    )
    return [row_of(each, ledger.root) for each in connection.execute(query)]


def all_moves(connection: Connection, file_id: int) -> Sequence[sa.RowMapping]:
    """Return every move of a file, oldest first."""
    query = sa.select(moves).where(moves.c.file_id == file_id).order_by(moves.c.id)
    return connection.execute(query).mappings().all()


def all_results(connection: Connection, file_id: int) -> Sequence[sa.RowMapping]:
    """Return every result of a file, oldest first, with its model and the command's name."""
    query = (
        sa.select(
            results,
            models.c.name.label("model"),
            models.c.version.label("version"),
            commands.c.name.label("command"),
        )
        .join(models, models.c.id == results.c.model_id)
        .outerjoin(commands, commands.c.id == results.c.command_id)
        .where(results.c.file_id == file_id)
        .order_by(results.c.id)
    )
    return connection.execute(query).mappings().all()


def all_corrections(connection: Connection, file_id: int) -> Sequence[sa.RowMapping]:
    """Return every correction of a file, oldest first."""
    query = (
        sa.select(corrections).where(corrections.c.file_id == file_id).order_by(corrections.c.id)
    )
    return connection.execute(query).mappings().all()


def filed_rows(ledger: Ledger, outcome: str | None, reason: str | None) -> Iterator[Row]:
    """Yield the filed rows with this outcome and reason, by id, read in pages. None: any."""
    return rows_in(ledger, ("filed",), outcome, reason)


def rows_in(
    ledger: Ledger,
    states: Sequence[str],
    outcome: str | None = None,
    reason: str | None = None,
) -> Iterator[Row]:
    """Yield the root's rows in these states, by id, read in pages. outcome, reason: None: any."""
    after = 0
    while True:
        query = sa.select(files).where(
            files.c.root_id == ledger.root_id, files.c.state.in_(states), files.c.id > after
        )
        if outcome is not None:
            query = query.where(files.c.outcome == outcome)
        if reason is not None:
            query = query.where(files.c.reason == reason)
        with ledger.reading() as connection:
            page = connection.execute(query.order_by(files.c.id).limit(_PAGE)).all()
        if not page:
            return
        after = page[-1].id
        yield from (row_of(each, ledger.root) for each in page)


def outcomes_of(ledger: Ledger, ids: Sequence[int]) -> Counter[tuple[str, str]]:
    """Return how many of these rows have each outcome and reason; the reason may be empty."""
    found: Counter[tuple[str, str]] = Counter()
    for begin in range(0, len(ids), _PAGE):
        query = sa.select(files.c.outcome, files.c.reason).where(
            files.c.id.in_(ids[begin : begin + _PAGE])
        )
        with ledger.reading() as connection:
            found.update((row.outcome, row.reason or "") for row in connection.execute(query))
    return found


def counts(connection: Connection, root_id: int) -> dict[str, int]:
    """Return how many files are filed, by outcome, and how many `missing`, `restored`, `recorded`.

    root_id: the root's row in `roots`.
    """
    was_restored = files.c.restored_to.is_not(None)
    query = (
        sa.select(files.c.outcome, files.c.state, was_restored, sa.func.count())
        .where(files.c.root_id == root_id)
        .group_by(files.c.outcome, files.c.state, was_restored)
    )
    states = ("missing", "restored", "recorded")
    tally = dict.fromkeys(("female", "male", "unsure", "rejected", *states), 0)
    for outcome, state, is_back, count in connection.execute(query):
        name = outcome if state == "filed" else state
        tally["restored" if state == "missing" and is_back else name] += count
    return tally


def pace(connection: Connection, root_id: int, since: datetime) -> Pace:
    """Return when a file was last filed for the first time, and how many were since then.

    since: UTC without a zone; of more than 10,000 files only the newest are counted.
    """
    newest = (
        sa.select(files.c.filed_at)
        .where(files.c.root_id == root_id, files.c.filed_at.is_not(None))
        .order_by(files.c.id.desc())
        .limit(_NEWEST)
        .subquery()
    )
    last = connection.execute(sa.select(sa.func.max(newest.c.filed_at))).scalar()
    lately = sa.select(sa.func.count()).select_from(newest).where(newest.c.filed_at >= since)
    return Pace(last, connection.execute(lately).scalar_one())
