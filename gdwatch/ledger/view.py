"""The view `current_results`, a page of rows at a time: what `gdwatch export` writes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.tables import files

_PAGE = 5000  # rows; each page is a transaction of its own, so that no writer's log grows meanwhile
_NUMBERS = ("confidence", "p_male", "min_confidence", "bodies")
_TIMES = ("recorded_at", "filed_at", "first_filed_at", "moved_at")
_INTEGERS = ("id", "faces")
_TEXTS = (
    "name", "path", "outcome", "reason", "label", "model", "corrected", "sha256", "state",
    "original_path", "model_label", "taken_at", "camera", "root", "root_host", "mode",
    "restored_to",
)  # fmt: skip
_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    **dict.fromkeys(_INTEGERS, sa.Integer()),
    **dict.fromkeys(_NUMBERS, sa.Float()),
    **dict.fromkeys(_TIMES, sa.DateTime()),
    **dict.fromkeys(_TEXTS, sa.Text()),
}
# In the order of the view, which stands in the migrations alone.
COLUMNS: dict[str, type] = {
    name: _TYPES[name].python_type
    for name in (
        "id", "name", "path", "outcome", "reason", "label", "confidence", "p_male", "faces",
        "model", "corrected", "recorded_at", "filed_at", "sha256", "state", "original_path",
        "first_filed_at", "moved_at", "model_label", "min_confidence", "taken_at", "camera",
        "root", "root_host", "bodies", "mode", "restored_to",
    )
}  # fmt: skip
_VIEW = sa.table("current_results", *(sa.column(name, _TYPES[name]) for name in COLUMNS))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which rows are wanted; None: all. since: recorded then or later, UTC without a zone."""

    since: datetime | None = None
    outcome: str | None = None


def pages(ledger: Ledger, chosen: Chosen) -> Iterator[Sequence[sa.Row[Any]]]:
    """Yield the root's rows of the view by id, as many at a time as fit into little memory.

    Each page is of one moment, and all together are not: what is recorded meanwhile may be among
    them, and no row is there twice. Raises Trouble and ActionNeeded.
    """
    after = _before_first(ledger, chosen)
    while True:
        query = statement(ledger.root_id, chosen, after)
        with ledger.reading() as connection:
            rows = connection.execute(query).fetchall()
        if rows:
            yield rows
        if len(rows) < _PAGE:
            return
        after = rows[-1].id


def statement(root_id: int, chosen: Chosen, after: int) -> sa.Select[Any]:
    """Return the statement for the page of rows with an id above this one."""
    query = (
        sa.select(_VIEW)
        .join(files, files.c.id == _VIEW.c.id)
        .where(files.c.root_id == root_id, files.c.id > after)
        .order_by(files.c.id)
        .limit(_PAGE)
    )
    if chosen.since is not None:
        query = query.where(files.c.recorded_at >= chosen.since)
    if chosen.outcome is not None:
        # No index of outcomes is in the order of ids: each page would be sorted anew.
        query = query.where(files.c.outcome.concat("") == chosen.outcome)
    return query


def _before_first(ledger: Ledger, chosen: Chosen) -> int:
    """Return an id below all that are wanted: rows of earlier times need not be read."""
    if chosen.since is None:
        return 0
    with ledger.reading() as connection:
        query = sa.select(sa.func.min(files.c.id)).where(files.c.recorded_at >= chosen.since)
        first: int | None = connection.execute(query).scalar()
    return 2**62 if first is None else first - 1
