"""The first durable step: insert decisions as rows, with the path where each file is to go.

A file that was completed after it was rejected has its row already, and gets a new decision.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from gdwatch.files import durability
from gdwatch.files.durability import require_descriptors
from gdwatch.filing import destination
from gdwatch.filing.placement import choose, send
from gdwatch.ledger import originals
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.rows import Row
from gdwatch.ledger.transaction import Transaction, now, origin_of, result_row
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import Batch, Decision, Entry, Judged, Mode

_NEWEST = 32  # rows with the same bytes, of which the files are looked for


def record(
    ledger: Ledger, folders: Folders, batches: Sequence[Batch], settings: Settings
) -> list[list[tuple[Entry, Judged]]]:
    """Insert batches in one transaction; the content of their files is synced first, none is moved.

    Returns for each batch, in order, the files that got a row: the entry that says where to move
    the file, and the file with its final decision.

    Raises Trouble, and as `make_durable`.
    """
    descriptors = [each.opened.descriptor for batch in batches for each in batch.judged]
    if not descriptors:
        return [[] for _ in batches]
    durability.sync_contents(descriptors)
    try:
        with Handles(folders) as handles, ledger.writing() as transaction:
            recorded_at = now()
            return [
                _insert(transaction, handles, batch, settings, recorded_at) for batch in batches
            ]
    except OSError as error:
        require_descriptors(error)  # deep sub-folders: each needs an open handle
        raise


def _insert(
    transaction: Transaction,
    handles: Handles,
    batch: Batch,
    settings: Settings,
    recorded_at: datetime,
) -> list[tuple[Entry, Judged]]:
    # The inbox lists a file whose move is stuck again: its row exists already.
    known = transaction.under_way([judged.opened.drop for judged in batch.judged])
    outcome_of = handles.folders.outcome_of
    drops = [each for each in batch.judged if outcome_of(each.opened.drop.path) is None]
    known |= originals.recognise(transaction, drops)
    # A file that was renamed while it was judged is listed, and judged, under its new name.
    there = [
        judged
        for judged in batch.judged
        if judged.opened.drop.path not in known
        and handles.leads_to(judged.opened.drop.path, judged.opened.descriptor)
    ]
    new = [each for each in there if outcome_of(each.opened.drop.path) is None]
    again = _rows_judged_again(
        transaction, [each for each in there if outcome_of(each.opened.drop.path) is not None]
    )
    judged = (*new, *(each for _, each in again))
    if not judged:
        return []
    batch_id = transaction.batch(replace(batch, judged=judged), transaction.model_id(batch.model))
    pairs = _insert_new(transaction, handles, new, settings, recorded_at, batch_id)
    for row, each in again:
        pairs += _judge_again(transaction, handles, row, each, settings, batch_id)
    return pairs


def _insert_new(
    transaction: Transaction,
    handles: Handles,
    new: Sequence[Judged],
    settings: Settings,
    recorded_at: datetime,
    batch_id: int | None,
) -> list[tuple[Entry, Judged]]:
    """Insert the rows of drops, and their decisions."""
    if not new:
        return []
    ids = transaction.new_ids(len(new))
    judged, first_ids = _with_duplicates(transaction, handles, new, ids, settings)
    wanted = [
        destination.target(
            handles.folders,
            each.decision.outcome,
            each.opened.drop.path,
            settings.layout,
            recorded_at,
        )
        for each in judged
    ]
    entries = [
        _entry(file_id, each, path, settings.mode)
        for file_id, each, path in zip(
            ids, judged, choose(transaction, handles, ids, wanted), strict=True
        )
    ]
    models = {each.model.sha256: transaction.model_id(each.model) for each in new}
    rows = [
        transaction.file_row(
            entry,
            each.decision,
            each.opened.drop.received_at.replace(tzinfo=None),
            recorded_at,
            origin_of(each),
        )
        for entry, each in zip(entries, judged, strict=True)
    ]
    transaction.insert_files(
        [
            {**row, "model_id": models[each.model.sha256], "duplicate_of": original}
            for row, original, each in zip(rows, first_ids, judged, strict=True)
        ]
    )
    transaction.insert_results(
        [
            result_row(file_id, each, models[each.model.sha256], batch_id)
            for file_id, each in zip(ids, judged, strict=True)
        ]
    )
    transaction.make_newest_current(ids)
    return list(zip(entries, judged, strict=True))


def _rows_judged_again(
    transaction: Transaction, judged: Sequence[Judged]
) -> list[tuple[Row, Judged]]:
    """Return the rows of files that were judged again where they lie, with the new decisions.

    Left out is what has changed since it was opened: a command has moved, corrected or judged it.
    """
    if not judged:
        return []
    rows = transaction.at({each.opened.drop.path for each in judged})
    labels = transaction.labels([row.id for row in rows.values()])
    found = [(rows.get(each.opened.drop.path), each) for each in judged]
    return [
        (row, each)
        for row, each in found
        if row is not None and row.state == "filed" and row.id not in labels
        and row.sha256 != each.decoded.sha256
    ]  # fmt: skip


def _judge_again(
    transaction: Transaction,
    handles: Handles,
    row: Row,
    judged: Judged,
    settings: Settings,
    batch_id: int | None,
) -> list[tuple[Entry, Judged]]:
    """Record the decision on a file that has other bytes than its row, which follows them.

    Returns the file with its move; nothing if it stays where it is.
    """
    model_id = transaction.model_id(judged.model)
    (judged,), (original,) = _with_duplicates(transaction, handles, [judged], [row.id], settings)
    decision, identity = judged.decision, judged.opened.drop.identity
    transaction.note_changes([row], "hand")  # no `undo` of an earlier command takes it back
    transaction.insert_results([result_row(row.id, judged, model_id, batch_id)])
    is_moved = decision.outcome != row.outcome
    transaction.update(
        row.id,
        sha256=judged.decoded.sha256,
        size_bytes=identity.size_bytes,
        modified_ns=identity.modified_ns,
        reason=row.reason if is_moved else decision.reason,
        duplicate_of=original,
        model_id=model_id,
    )
    transaction.make_newest_current([row.id])
    transaction.note_origin(transaction.row(row.id), origin_of(judged))
    if not is_moved:
        return []
    send(transaction, handles, row, decision, settings.layout)
    return [(_entry(row.id, judged, transaction.row(row.id).path), judged)]


def _with_duplicates(
    transaction: Transaction,
    handles: Handles,
    judged: Sequence[Judged],
    ids: Sequence[int],
    settings: Settings,
) -> tuple[list[Judged], list[int | None]]:
    """Find the first row with the same bytes as each file, which the settings may reject for it.

    A file is rejected if one with the same bytes lies where its row says, or came before it in
    this batch.

    Returns the files with their final decisions, and for each the id of its original or None.
    """
    firsts = transaction.first_with({each.decoded.sha256 for each in judged if each.decoded.sha256})
    rejects = settings.duplicates == "reject"
    there = {
        sha256
        for sha256, first in firsts.items()
        if rejects and _is_any_there(transaction, handles, first, sha256)
    }
    first_ids = {sha256: row.id for sha256, row in firsts.items()}
    decided: list[Judged] = []
    firsts_of: list[int | None] = []
    for file_id, each in zip(ids, judged, strict=True):
        original = None
        sha256 = each.decoded.sha256
        if sha256:
            first_id = first_ids.setdefault(sha256, file_id)
            original = first_id if first_id != file_id else None
            if rejects and sha256 in there:
                each = replace(each, decision=Decision("rejected", "duplicate"))
            there.add(sha256)
        firsts_of.append(original)
        decided.append(each)
    return decided, firsts_of


def _is_any_there(transaction: Transaction, handles: Handles, first: Row, sha256: str) -> bool:
    """Whether the file of the first or of one of the newest rows with these bytes is there.

    A file may have been dropped a hundred thousand times. Where all that are looked at have been
    taken away, and only one between them is there, one copy passes; it is the newest from then on.
    """
    return _is_there(handles, first) or any(
        _is_there(handles, row) for row in transaction.newest_with(sha256, _NEWEST)
    )


def _is_there(handles: Handles, row: Row) -> bool:
    if row.state == "missing":  # another file may have its path
        return False
    return any(handles.is_file(path) for path in (row.source, row.path) if path is not None)


def _entry(file_id: int, judged: Judged, path: bytes, mode: Mode = "move") -> Entry:
    drop = judged.opened.drop
    return Entry(
        file_id,
        drop.path,
        path,
        judged.decoded.sha256,
        drop.identity.size_bytes,
        drop.identity.modified_ns,
        mode,
    )
