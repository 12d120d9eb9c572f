"""Choosing a free path for each file, and sending a filed row to another folder."""

from collections.abc import Iterator, Sequence

from gdwatch.filing import destination
from gdwatch.ledger.rows import Row
from gdwatch.ledger.transaction import Transaction
from gdwatch.root.folder_handles import Handles
from gdwatch.values import Decision


def choose(
    transaction: Transaction, handles: Handles, ids: Sequence[int], wanted: Sequence[bytes]
) -> list[bytes]:
    """Return a free path for each file: the wanted one, or the first free one of `candidates`.

    ids: of the files' rows. wanted: their absolute paths, in the same order.

    A `filed` row whose file is gone loses its path, and is marked `missing`.
    """
    claimed = transaction.at(set(wanted))
    missing = [
        row
        for row in claimed.values()
        if row.state == "filed" and row.id not in ids and not handles.is_file(row.path)
    ]
    transaction.mark_missing(missing)
    gone = {row.id for row in missing}
    taken = {path for path, row in claimed.items() if row.id not in gone and row.id not in ids}
    chosen = []
    for file_id, path in zip(ids, wanted, strict=True):
        chosen.append(
            _first_free(transaction, handles, destination.candidates(handles, path, file_id), taken)
        )
        taken.add(chosen[-1])
    return chosen


def _first_free(
    transaction: Transaction, handles: Handles, candidates: Iterator[bytes], taken: set[bytes]
) -> bytes:
    """Return the first path at which no file lies and which no other row has."""
    wanted = next(candidates)
    if wanted not in taken and handles.lstat(wanted) is None:
        return wanted
    return next(
        path
        for path in candidates
        if path not in taken and handles.lstat(path) is None and not transaction.at({path})
    )


def send(
    transaction: Transaction,
    handles: Handles,
    row: Row,
    decision: Decision,
    layout: destination.FolderLayout,
) -> None:
    """Request a move: set a filed row to `recorded`, with its path in another answer folder."""
    wanted = destination.target(
        handles.folders, decision.outcome, row.original, layout, row.recorded_at
    )
    (path,) = choose(transaction, handles, [row.id], [wanted])
    transaction.request_move(row, path, decision)
