"""Removes the rows of files that were filed long ago, page by page, while the service may run.

Rows of files that are still to be moved stay, and so do those on which a person has said a word,
even one that was taken back. Batches, commands and models stay too: there are few of them.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import ColumnElement

from gdwatch.errors import UsageError
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.tables import corrections, files

_PAGE = 500  # rows in one transaction: writers wait for no longer


@dataclass(frozen=True, slots=True)
class Old:
    """How many old rows there are. rows: to remove. corrected: stay, as a person has spoken."""

    rows: int
    corrected: int


def before(older_than: str, now: datetime) -> datetime:
    """Return the moment that lies `365d`, so many days, back. Raises UsageError for other texts."""
    days = re.fullmatch(r"([0-9]{1,5})d", older_than)
    if days is None or not int(days[1]):
        raise UsageError(f"--older-than {older_than}: no number of days", "write 365d, for one")
    return now - timedelta(days=int(days[1]))


def count(ledger: Ledger, before: datetime) -> Old:
    """Count the rows of files whose last move ended before this moment (UTC). Raises Trouble."""
    wanted = sa.select(sa.func.count()).select_from(files).where(*_old(ledger, before))
    with ledger.reading() as connection:
        rows = connection.execute(wanted.where(~_CORRECTED)).scalar_one()
        corrected = connection.execute(wanted.where(_CORRECTED)).scalar_one()
    return Old(rows, corrected)


def prune(ledger: Ledger, before: datetime) -> int:
    """Remove these rows with all that belongs to them, and return how many. Raises Trouble."""
    removed = 0
    page = sa.select(files.c.id).where(*_old(ledger, before), ~_CORRECTED).limit(_PAGE)
    while True:
        with ledger.writing() as transaction:
            ids = list(transaction.connection.execute(page).scalars())
            if ids:
                transaction.connection.execute(sa.delete(files).where(files.c.id.in_(ids)))
        removed += len(ids)
        if len(ids) < _PAGE:
            return removed


_CORRECTED = sa.exists().where(corrections.c.file_id == files.c.id)


def _old(ledger: Ledger, before: datetime) -> tuple[ColumnElement[bool], ...]:
    last = sa.func.coalesce(files.c.moved_at, files.c.filed_at)
    return (files.c.root_id == ledger.root_id, files.c.state != "recorded", last < before)
