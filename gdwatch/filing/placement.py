"""A free path for each file, as near to the wanted one as can be, and rows sent there."""

from collections.abc import Iterator, Sequence

from gdwatch.filing import destination
from gdwatch.ledger.rows import Row
from gdwatch.ledger.transaction import Transaction
from gdwatch.root.folder_handles import Handles
from gdwatch.values import Decision


def choose(
    transaction: Transaction, handles: Handles, ids: Sequence[int], wanted: Sequence[bytes]
) -> list[bytes]:
    """Find a free path for each file, as near to the wanted one as can be.

    A row whose file has been taken away gives its path up, and is marked `missing`.
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
    """The first path that no file lies at and no other row claims."""
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
    """Wish that a filed row goes to another folder; whoever holds the root's lock moves it."""
    wanted = destination.target(
        handles.folders, decision.outcome, row.original, layout, row.recorded_at
    )
    (path,) = choose(transaction, handles, [row.id], [wanted])
    transaction.update(
        row.id,
        state="recorded",
        source_path=transaction.text(row.source or row.path),
        path=transaction.text(path),
        outcome=decision.outcome,
        reason=decision.reason,
    )
