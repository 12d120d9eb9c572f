"""The first durable step: insert decisions as rows, with the path where each file is to go."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from gdwatch.files import durability
from gdwatch.files.durability import require_descriptors
from gdwatch.filing import destination
from gdwatch.filing.placement import choose
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.transaction import Transaction, now, result_row
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import Batch, Decision, Entry, Judged


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
    new = tuple(judged for judged in batch.judged if judged.opened.drop.path not in known)
    if not new:
        return []
    ids = transaction.new_ids(len(new))
    judged, originals = _with_duplicates(transaction, handles, new, ids, settings)
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
        _entry(file_id, each, path)
        for file_id, each, path in zip(
            ids, judged, choose(transaction, handles, ids, wanted), strict=True
        )
    ]
    model_id = transaction.model_id(batch.model)
    batch_id = transaction.batch(replace(batch, judged=new), model_id)
    rows = [
        transaction.file_row(
            entry, each.decision, each.opened.drop.received_at.replace(tzinfo=None), recorded_at
        )
        for entry, each in zip(entries, judged, strict=True)
    ]
    transaction.insert_files(
        [
            {**row, "model_id": model_id, "duplicate_of": original}
            for row, original in zip(rows, originals, strict=True)
        ]
    )
    transaction.insert_results(
        [
            result_row(file_id, each, batch.model, model_id, batch_id)
            for file_id, each in zip(ids, judged, strict=True)
        ]
    )
    return list(zip(entries, judged, strict=True))


def _with_duplicates(
    transaction: Transaction,
    handles: Handles,
    judged: Sequence[Judged],
    ids: Sequence[int],
    settings: Settings,
) -> tuple[list[Judged], list[int | None]]:
    """Find the first row with the same bytes as each file, which the settings may reject for it.

    Returns the files with their final decisions, and for each the id of its original or None.
    """
    hashes = {each.decoded.sha256 for each in judged if each.decoded.sha256}
    firsts = {
        sha256: (row.id, row.source or row.path)
        for sha256, row in transaction.first_with(hashes).items()
    }
    decided: list[Judged] = []
    originals: list[int | None] = []
    for file_id, each in zip(ids, judged, strict=True):
        original = None
        if each.decoded.sha256:
            itself = (file_id, each.opened.drop.path)
            first_id, path = firsts.setdefault(each.decoded.sha256, itself)
            original = first_id if first_id != file_id else None
            if original and settings.duplicates == "reject" and handles.is_file(path):
                each = replace(each, decision=Decision("rejected", "duplicate"))
        originals.append(original)
        decided.append(each)
    return decided, originals


def _entry(file_id: int, judged: Judged, path: bytes) -> Entry:
    drop = judged.opened.drop
    return Entry(
        file_id,
        drop.path,
        path,
        judged.decoded.sha256,
        drop.identity.size_bytes,
        drop.identity.modified_ns,
    )
