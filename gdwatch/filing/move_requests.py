"""What a command wants filed: whoever holds the root's lock does it, we or the service."""

import time
from collections.abc import Sequence

import sqlalchemy as sa

from gdwatch.errors import GdwatchError, HeldError
from gdwatch.filing.pending_moves import file_pending
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.rows import Row
from gdwatch.ledger.tables import files
from gdwatch.root import lock
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings

PATIENCE_S = 10.0
_LOOK_S = 0.05


def file_or_wait(
    ledger: Ledger,
    folders: Folders,
    settings: Settings,
    ids: Sequence[int],
    patience_s: float = PATIENCE_S,
) -> int:
    """File what these rows wish, or wait until the service has done it.

    Returns how many are still waiting after `patience_s`.
    """
    if not ids:
        return 0
    end = time.monotonic() + patience_s
    while True:
        try:
            with lock.hold(folders.state, briefly=True):
                file_pending(ledger, folders, settings.layout)
            return _waiting(ledger, ids)
        except HeldError:
            waiting = _waiting(ledger, ids)
            if not waiting or time.monotonic() >= end:
                return waiting
            time.sleep(_LOOK_S)


def finish_move(ledger: Ledger, folders: Folders, settings: Settings, row: Row) -> None:
    """See a move that is under way to its end, before anything else is wished of the file.

    Another target now would leave it lost to its row, were the mover killed between the two.

    Raises GdwatchError if it does not end.
    """
    if row.state == "recorded" and file_or_wait(ledger, folders, settings, [row.id]):
        raise under_way(row)


def under_way(row: Row) -> GdwatchError:
    """What to say of a file that cannot be sent elsewhere now."""
    return GdwatchError(
        f"id {row.id}: is being moved", "try again when it is filed; `gdwatch status` says why not"
    )


def _waiting(ledger: Ledger, ids: Sequence[int]) -> int:
    query = sa.select(files.c.id).where(
        files.c.root_id == ledger.root_id, files.c.state == "recorded"
    )
    with ledger.reading() as connection:
        return len(set(connection.execute(query).scalars()) & set(ids))
