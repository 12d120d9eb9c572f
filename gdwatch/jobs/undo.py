"""Taking back the last command as a whole: every row goes back to how it was before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gdwatch.errors import GdwatchError
from gdwatch.files import content, escaping
from gdwatch.files.identity import modified_ns
from gdwatch.files.users import own_name
from gdwatch.filing import move_requests
from gdwatch.filing.placement import choose
from gdwatch.ledger import originals
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.rows import Row
from gdwatch.ledger.tables import changes, commands, results
from gdwatch.ledger.transaction import Transaction
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings

_NAMES = ("correct", "requeue", "reprocess", "restore")


@dataclass(slots=True)
class Undone:
    """What was taken back.

    command: its name and arguments. ids: of the rows it has changed.
    back: paths of files before and after.
    left: files that were left as they are, by path, with the reason. waiting: how many files the
        service has yet to move.
    """

    command: str
    ids: list[int]
    back: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class CommandOf:
    """One command, by its row's id in `commands`, if it was this person's."""

    id: int
    by: str


def undo(
    ledger: Ledger,
    folders: Folders,
    settings: Settings,
    *,
    dry_run: bool,
    of: CommandOf | None = None,
) -> Undone:
    """Take back the last of these commands that was not taken back yet: `correct`, `requeue`,
    `reprocess --move` and `restore`.

    of: that command, instead of the last one.

    Results stay: only which of them counts goes back. A file that a person has moved since, or
    that is gone, is left.

    Raises GdwatchError if there is no such command, or a file of it is still on its way: then
    nothing is taken back; Trouble.
    """
    with ledger.reading() as connection:
        command = _last(connection, ledger.root_id, of)
        if command is None:
            raise GdwatchError("undo: no command is left to take back")
        before = _before(connection, command["id"])
    ids = list(before)
    if not dry_run and move_requests.file_or_wait(ledger, folders, settings, ids):
        raise GdwatchError("undo: files are still being moved", "try again when they are filed")
    undone = Undone(command["arguments"] or command["name"], ids)
    with Handles(folders) as handles:
        if dry_run:
            with ledger.reading() as connection:
                transaction = ledger.transaction(connection)
                for row in _rows_to_take_back(transaction, handles, command["id"], ids, undone):
                    undone.back[ledger.text(row.path)] = before[row.id]["path"]
            return undone
        with ledger.writing() as transaction:
            rows = _rows_to_take_back(transaction, handles, command["id"], ids, undone)
            by = own_name() if of is None else of.by
            _take_back(transaction, handles, rows, before, undone, by)
            transaction.connection.execute(
                sa.update(commands)
                .where(commands.c.id == ledger.command_id)
                .values(undoes=command["id"])
            )
    undone.waiting = move_requests.file_or_wait(ledger, folders, settings, ids)
    return undone


def _last(connection: Connection, root_id: int, of: CommandOf | None) -> sa.RowMapping | None:
    changed = sa.select(changes.c.id).where(
        changes.c.command_id == commands.c.id, changes.c.how == "command"
    )
    query = (
        sa.select(commands)
        .where(commands.c.root_id == root_id, commands.c.name.in_(_NAMES), changed.exists())
        .where(commands.c.id.not_in(_taken_back()))
        .order_by(commands.c.id.desc())
        .limit(1)
    )
    if of is not None:
        query = query.where(commands.c.id == of.id, commands.c.by == of.by)
    return connection.execute(query).mappings().first()


def _taken_back() -> sa.Select[tuple[int]]:
    return sa.select(commands.c.undoes).where(commands.c.undoes.is_not(None))


def _before(connection: Connection, command_id: int) -> dict[int, sa.RowMapping]:
    """Return, by id, how each row was before a command first changed it."""
    query = (
        sa.select(changes)
        .where(changes.c.command_id == command_id, changes.c.how == "command")
        .order_by(changes.c.id.desc())
    )
    return {row["file_id"]: row for row in connection.execute(query).mappings()}


def _rows_to_take_back(
    transaction: Transaction,
    handles: Handles,
    command_id: int,
    ids: Sequence[int],
    undone: Undone,
) -> list[Row]:
    rows = []
    for row in transaction.rows(ids):
        if row.restored_to is not None:
            handles.admit(row.restored_to)
        query = (
            sa.select(changes.c.command_id, changes.c.how)
            .where(changes.c.file_id == row.id)
            .where(sa.or_(changes.c.how == "hand", changes.c.command_id.not_in(_taken_back())))
            .order_by(changes.c.id.desc())
            .limit(1)
        )
        last = transaction.connection.execute(query).one()
        if (last.command_id, last.how) != (command_id, "command"):
            undone.left[transaction.text(row.path)] = "moved or corrected since"
        elif row.state == "recorded":
            raise move_requests.being_moved(row)
        elif row.is_restored and not _is_unchanged(row, handles):
            undone.left[transaction.text(row.path)] = "taken away or changed since"
        elif (row.state == "missing" and not row.is_restored) or not handles.is_file(row.path):
            undone.left[transaction.text(row.path)] = "taken away since"
        else:
            rows.append(row)
    return rows


def _is_unchanged(row: Row, handles: Handles) -> bool:
    """Whether the bytes of a file that was put back are still where it was put."""
    try:
        return row.sha256 in (None, content.digest_at(handles.parent(row.path)))
    except (OSError, ValueError):
        return False


def _take_back(
    transaction: Transaction,
    handles: Handles,
    rows: Sequence[Row],
    before: Mapping[int, sa.RowMapping],
    undone: Undone,
    by: str,
) -> None:
    labels = transaction.labels([row.id for row in rows])
    for row in rows:
        was = before[row.id]
        if labels.get(row.id) != was["label"]:
            transaction.correct([row.id], was["label"], by)
        values: dict[str, Any] = {"result_id": was["result_id"], "reason": was["reason"]}
        if was["result_id"] is not None:
            query = sa.select(results.c.model_id).where(results.c.id == was["result_id"])
            values["model_id"] = transaction.connection.execute(query).scalar_one()
        path = escaping.absolute_path(was["path"], transaction.root)
        if path != row.path:
            (path,) = choose(transaction, handles, [row.id], [path])
            values |= {
                "state": "recorded",
                "source_path": transaction.text(row.path),
                "path": transaction.text(path),
                "outcome": was["outcome"],
                "command_id": transaction.command_id,
            }
            if row.is_restored:
                originals.forget(transaction, row.id)
                # What leaves the inbox is known by its time: a person may have touched it before.
                status = handles.lstat(row.path)
                assert status is not None
                values["modified_ns"] = modified_ns(status)
        transaction.update(row.id, **values)
        undone.back[transaction.text(row.path)] = transaction.text(path)
