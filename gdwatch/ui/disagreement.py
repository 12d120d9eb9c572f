"""The queue of photographs about which models disagree, the newest first.

Nothing in the ledger is ordered by that, so a page looks at so many files that it is soon there:
one that is not the last may have few photographs, or none.
"""

import sqlalchemy as sa
from sqlalchemy import Connection

from gdwatch.ledger.tables import files, results
from gdwatch.ui.photographs import LABEL, SELECTED, Key, Photograph, Queue, Selected, photograph_of

_WINDOW = 20_000  # files


def page(
    connection: Connection, root_id: int, queue: Queue, after: Key | None, most: int
) -> tuple[list[Photograph], Key | None]:
    """As `photographs.page`."""
    newest = sa.select(sa.func.max(files.c.id)).where(files.c.root_id == root_id)
    beyond = after[0] if after is not None else (connection.execute(newest).scalar() or 0) + 1
    query = statement(root_id, queue, beyond).limit(most)
    found = list(map(photograph_of, connection.execute(query)))
    if len(found) == most:
        return found, (found[-1].id,)
    return found, (beyond - _WINDOW,) if beyond > _WINDOW else None


def statement(root_id: int, queue: Queue, beyond: int) -> Selected:
    """Return the statement for the files with the next ids below this one."""
    other = results.alias("other")
    disagrees = sa.exists().where(
        other.c.file_id == files.c.id,
        other.c.id != files.c.result_id,
        other.c.label != results.c.label,
    )
    # Written so that no index but that of the ids fits: only those files are looked at.
    query = SELECTED.where(
        files.c.id.between(beyond - _WINDOW, beyond - 1),
        files.c.root_id + 0 == root_id,
        files.c.outcome.concat("") == queue.outcome,
        files.c.state.concat("") == "filed",
        results.c.label.is_not(None),
        disagrees,
        LABEL.is_(None),
    )
    if queue.reason is not None:
        query = query.where(files.c.reason.concat("") == queue.reason)
    return query.order_by(files.c.id.desc())
