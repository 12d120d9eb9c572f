"""`gdwatch correct`: a person's label, which overrides the model's."""

import os
import sys
from contextlib import closing

from gdwatch.commands.asked import asked
from gdwatch.errors import GdwatchError
from gdwatch.files import content, escaping
from gdwatch.files.users import own_name
from gdwatch.filing import move_requests, placement
from gdwatch.ledger import queries
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.opening import open_ledger
from gdwatch.ledger.rows import Row
from gdwatch.ledger.transaction import Transaction
from gdwatch.root import root_id
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import Decision, Label


def correct(settings: Settings, which: str, label: Label | None) -> None:
    """Record a person's label for a file, move the file, and print its id and path.

    which: an id or a path. label: None takes the last correction back.

    Raises GdwatchError if there is no such row, its file is gone, or its content has changed.
    """
    folders = Folders.of(settings)
    root_id.require_own(folders)
    with closing(open_ledger(settings, root_id.read_id(folders), asked("correct"))) as ledger:
        with ledger.reading() as connection:
            row = queries.find(ledger, connection, which)
        move_requests.finish_move(ledger, folders, settings, row)
        with Handles(folders) as handles, ledger.writing() as transaction:
            row = transaction.row(row.id)
            if row.state == "recorded":
                raise move_requests.being_moved(row)
            gone = row.state == "missing" or not handles.is_file(row.path)
            if gone:
                transaction.mark_missing([row])
            else:
                _require_same(row, handles)
                _record(transaction, handles, row, label, settings)
        if gone:
            raise _taken_away(which)
        waiting = move_requests.file_or_wait(ledger, folders, settings, [row.id])
        with ledger.reading() as connection:
            if queries.find(ledger, connection, str(row.id)).state == "missing":
                raise _taken_away(which)
        print(f"{row.id} {_where(ledger, row.id)}")
    if waiting:
        print("gdwatch: recorded; the service moves it next", file=sys.stderr)


def _taken_away(which: str) -> GdwatchError:
    shown = escaping.escape(os.fsencode(which))
    return GdwatchError(f"{shown}: its file has been taken away", "drop it into the inbox again")


def _require_same(row: Row, handles: Handles) -> None:
    """Raise GdwatchError if the file's content is not what its row says."""
    if row.sha256 is not None and content.digest_at(handles.parent(row.path)) != row.sha256:
        raise GdwatchError(
            f"{escaping.escape(row.path)}: its bytes are not those that were judged",
            "`gdwatch reprocess` on its folder gives them a row of their own",
        )


def _record(
    transaction: Transaction, handles: Handles, row: Row, label: Label | None, settings: Settings
) -> None:
    if label is None and row.id not in transaction.labels([row.id]):
        raise GdwatchError(f"id {row.id}: nobody has corrected it", "there is nothing to take back")
    transaction.note_changes([row])
    transaction.correct([row.id], label, own_name())
    decision = Decision(label, None) if label else _model_decision(transaction, row)
    if decision.outcome == row.outcome:
        transaction.update(row.id, reason=decision.reason)
    else:
        placement.send(transaction, handles, row, decision, settings.layout)


def _model_decision(transaction: Transaction, row: Row) -> Decision:
    result = queries.current_result(transaction.connection, row)
    if result is None:
        return Decision(row.outcome, row.reason)
    return Decision(result["outcome"], result["reason"])


def _where(ledger: Ledger, file_id: int) -> str:
    with ledger.reading() as connection:
        row = queries.find(ledger, connection, str(file_id))
    return escaping.relative_text(row.source or row.path, ledger.root)
