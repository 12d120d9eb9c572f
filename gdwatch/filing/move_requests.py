"""Moves that a command requests: the holder of the root's lock does them, we or the service."""

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
_POLL_S = 0.05


def file_or_wait(
    ledger: Ledger,
    folders: Folders,
    settings: Settings,
    ids: Sequence[int],
    patience_s: float = PATIENCE_S,
) -> int:
    """Move the files of these rows, or wait until the service has moved them.

    ids: of rows. Returns how many of them are still `recorded`, after `patience_s` at most.

    Raises Trouble, as `file_pending`.
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
            time.sleep(_POLL_S)


def finish_move(ledger: Ledger, folders: Folders, settings: Settings, row: Row) -> None:
    """Finish a move that is under way before a command requests another one for the same row.

    Were the target changed now and the mover killed between moving and marking, the row would no
    longer say where the file is.

    Raises GdwatchError if the move does not end.
    """
    if row.state == "recorded" and file_or_wait(ledger, folders, settings, [row.id]):
        raise being_moved(row)


def being_moved(row: Row) -> GdwatchError:
    """Return the error for a file whose move is under way: it cannot be sent elsewhere now."""
    return GdwatchError(
        f"id {row.id}: is being moved", "try again when it is filed; `gdwatch status` says why not"
    )


def _waiting(ledger: Ledger, ids: Sequence[int]) -> int:
    query = sa.select(files.c.id).where(
        files.c.root_id == ledger.root_id, files.c.state == "recorded"
    )
    with ledger.reading() as connection:
        return len(set(connection.execute(query).scalars()) & set(ids))
