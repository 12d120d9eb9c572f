"""Putting files back under their original paths: requested for many together, then they move.

A file that is put back into the inbox becomes an original there (see `ledger.originals`): the
service leaves it alone until it changes.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from gdwatch.errors import GdwatchError
from gdwatch.files import content, escaping
from gdwatch.filing import move_requests
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.rows import Row
from gdwatch.ledger.transaction import Transaction
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import STATE, Folders
from gdwatch.settings import Settings

_PAGE = 256  # files in one transaction


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """Options of a run.

    to: the folder to put files into, absolute, links resolved; None: the inbox.
    """

    to: bytes | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class PutBack:
    """One file: its row, where it lay before, and where it lies now, or would."""

    id: int
    source: bytes
    target: bytes


@dataclass(slots=True)
class Restored:
    """files: that were put back, or would be. there: ids of rows whose original never left.

    refused: why others were not. waiting: how many the service has yet to move.
    """

    files: list[PutBack] = field(default_factory=list)
    there: list[int] = field(default_factory=list)
    refused: list[GdwatchError] = field(default_factory=list)
    waiting: int = 0


def restore(
    ledger: Ledger,
    folders: Folders,
    settings: Settings,
    rows: Sequence[Row],
    options: RestoreOptions,
) -> Restored:
    """Put the files of these rows back under their original paths, or below another folder.

    Nothing is overwritten, and a file with other bytes than its row says stays where it is. Raises
    Trouble, and GdwatchError for a folder that must not be used.
    """
    base = folders.inbox if options.to is None else options.to
    if options.to is not None:
        _require_beside(options.to, folders)
    done = Restored()
    claimed: set[bytes] = set()
    for start in range(0, len(rows), _PAGE):
        page = rows[start : start + _PAGE]
        moving = [row.id for row in page if row.state == "recorded"]
        move_requests.file_or_wait(ledger, folders, settings, moving)
        with ledger.reading() as connection:
            page = ledger.transaction(connection).rows([row.id for row in page])
        with Handles(folders) as handles:
            handles.admit(base)
            wanted = {row.id: _target(row, base, handles, claimed, done) for row in page}
            page = [row for row in page if wanted[row.id] is not None]
            if not options.dry_run:
                with ledger.writing() as transaction:
                    page = _request(transaction, page, wanted, base, done)
        done.files += [PutBack(row.id, row.path, wanted[row.id] or b"") for row in page]
    if not options.dry_run:
        _wait(ledger, folders, settings, done)
    return done


def _require_beside(to: bytes, folders: Folders) -> None:
    """Raise GdwatchError if a folder is one of gdwatch's own, or lies in one."""
    own = (folders.inbox, *folders.answers.values(), folders.root + b"/" + STATE.encode())
    for folder in own:
        if (to + b"/").startswith(folder + b"/"):
            raise GdwatchError(
                f"{escaping.escape(to)}: lies in {escaping.escape(folder)}",
                "name a folder outside, or leave --to away to put files back into the inbox",
            )


def _target(
    row: Row, base: bytes, handles: Handles, claimed: set[bytes], done: Restored
) -> bytes | None:
    """Return where a file belongs; None if it cannot be put there, which is noted in `done`."""
    try:
        target = _place(row, base, handles.folders)
        _require_same(row, handles)
        if target in claimed:
            raise GdwatchError(
                f"id {row.id}: another file goes to {escaping.escape(target)}", "use --to for one"
            )
        if _lies_there(target, handles):
            if row.mode != "move" and _has_bytes(row, target, handles):
                done.there.append(row.id)
                return None
            raise GdwatchError(
                f"{escaping.escape(target)}: another file lies there",
                f"move it away, or use --to; id {row.id} stays where it is",
            )
    except GdwatchError as error:
        done.refused.append(error)
        return None
    claimed.add(target)
    return target


def _place(row: Row, base: bytes, folders: Folders) -> bytes:
    """Return the path of a row's file below the folder to put it into. Raises GdwatchError."""
    if row.is_restored:
        raise GdwatchError(
            f"id {row.id}: was put back before, to {escaping.escape(row.path)}", "there it stays"
        )
    if row.state == "recorded":
        raise move_requests.being_moved(row)
    try:
        original_base, steps = folders.split(row.original)
    except ValueError:
        original_base, steps = b"", row.original.split(b"/")[-1:]
    if base == folders.inbox and original_base != base:
        raise GdwatchError(
            f"id {row.id}: was not dropped into this inbox, but at {escaping.escape(row.original)}",
            "--to DIR puts it elsewhere",
        )
    target = b"/".join((base, *steps))
    if base != folders.inbox and _is_own(target, folders):
        raise GdwatchError(
            f"{escaping.escape(target)}: lies in a folder of gdwatch", "use another one with --to"
        )
    return target


def _is_own(path: bytes, folders: Folders) -> bool:
    state = folders.root + b"/" + STATE.encode()
    own = (folders.inbox, *folders.answers.values(), state)
    return any(path == folder or path.startswith(folder + b"/") for folder in own)


def _require_same(row: Row, handles: Handles) -> None:
    """Raise GdwatchError if the row's file is gone, or has other bytes than the row says."""
    name = escaping.escape(row.path)
    if row.state == "missing" or not handles.is_file(row.path):
        raise GdwatchError(f"{name}: its file has been taken away", "there is nothing to put back")
    try:
        if row.sha256 in (None, content.digest_at(handles.parent(row.path))):
            return
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise GdwatchError(f"{name}: {why.lower()}", "look after the file") from error
    raise GdwatchError(
        f"{name}: its bytes are not those that were dropped", "move it back by hand if you want it"
    )


def _lies_there(target: bytes, handles: Handles) -> bool:
    """Whether anything lies at a path, a dangling link, too. Raises GdwatchError."""
    try:
        return handles.lstat(target) is not None
    except OSError as error:
        raise GdwatchError(
            f"{escaping.escape(target)}: {(error.strerror or str(error)).lower()}",
            "make its folder writable",
        ) from error


def _has_bytes(row: Row, target: bytes, handles: Handles) -> bool:
    try:
        return row.sha256 is not None and content.digest_at(handles.parent(target)) == row.sha256
    except OSError:
        return False


def _request(
    transaction: Transaction,
    page: Sequence[Row],
    wanted: dict[int, bytes | None],
    base: bytes,
    done: Restored,
) -> list[Row]:
    """Request the moves; return the rows that had no change since they were read."""
    taken = []
    claimed = transaction.at({target for target in wanted.values() if target is not None})
    for before, row in zip(page, transaction.rows([row.id for row in page]), strict=True):
        target = wanted[row.id]
        if row != before or target is None or target in claimed:
            done.refused.append(move_requests.being_moved(row))
        else:
            taken.append(row)
    transaction.note_changes(taken)
    for row in taken:
        transaction.update(
            row.id,
            state="recorded",
            source_path=transaction.text(row.path),
            path=transaction.text(wanted[row.id] or b""),
            restored_to=transaction.text(base),
            mode="move",  # what is put back is the file itself: no other is left behind
            command_id=transaction.command_id,
        )
    return taken


def _wait(ledger: Ledger, folders: Folders, settings: Settings, done: Restored) -> None:
    """Wait for the moves; what could not be moved lies where it was, and is named."""
    ids = [each.id for each in done.files]
    done.waiting = move_requests.file_or_wait(ledger, folders, settings, ids)
    with ledger.reading() as connection:
        rows = {row.id: row for row in ledger.transaction(connection).rows(ids)}
    for each in done.files:
        row = rows[each.id]
        if row.state != "recorded" and not row.is_restored:
            why = "another file lies there" if os.path.lexists(each.target) else "cannot be written"
            done.refused.append(
                GdwatchError(
                    f"{escaping.escape(each.target)}: {why}",
                    f"id {each.id} stays where it is; the log says more",
                )
            )
    done.files = [
        each for each in done.files
        if rows[each.id].is_restored or rows[each.id].state == "recorded"
    ]  # fmt: skip
