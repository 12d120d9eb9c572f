"""The second and third durable steps: recorded files are moved, and their rows marked.

The same for what was judged just now, for what a crash has left, and for what commands wish.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from gdwatch import filing, names
from gdwatch.errors import Trouble
from gdwatch.filing import Moved
from gdwatch.folders import Folders, Handles
from gdwatch.ledger import Ledger
from gdwatch.record import choose
from gdwatch.values import Entry

log = structlog.get_logger()

_STORAGE = {5: "storage_error", 28: "disk_full", 30: "read_only", 122: "quota_full"}


@dataclass(slots=True)
class Ended:
    """How the moves of one round ended, by the ids of rows."""

    filed: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    stuck: dict[int, str] = field(default_factory=dict)  # why, in the system's words


def file_pending(
    ledger: Ledger, folders: Folders, layout: filing.Layout, held: Mapping[int, int] | None = None
) -> Ended:
    """Move every recorded file to its path, make that durable, and mark its row.

    held: by row id, the descriptors through which files were judged just now.

    Raises Trouble where a configured folder or its disk is at fault; a single file that cannot be
    moved stays recorded, and is tried again next time.
    """
    ended = Ended()
    after = 0
    while entries := ledger.pending(after):
        after = entries[-1].id
        _file(ledger, folders, layout, entries, held or {}, ended)
    return ended


def _file(
    ledger: Ledger,
    folders: Folders,
    layout: filing.Layout,
    entries: Sequence[Entry],
    held: Mapping[int, int],
    ended: Ended,
) -> None:
    filed: list[int] = []
    missing: list[int] = []
    with Handles(folders) as handles:
        for entry in entries:
            match _move(ledger, folders, layout, handles, entry, held.get(entry.id)):
                case Moved.DONE:
                    filed.append(entry.id)
                case Moved.GONE | Moved.CHANGED:
                    missing.append(entry.id)
                    log.error("file.missing", id=entry.id, name=names.to_text(entry.source))
                case str() as why:
                    ended.stuck[entry.id] = f"{names.to_text(entry.source)}: {why}"
        handles.sync()
    with ledger.writing() as pen:
        pen.mark_filed(filed)
        pen.mark_missing(missing)
    ended.filed += filed
    ended.missing += missing


def _move(
    ledger: Ledger,
    folders: Folders,
    layout: filing.Layout,
    handles: Handles,
    entry: Entry,
    descriptor: int | None,
) -> Moved | str:
    """Move one file, with another target as often as its target is taken; a text: why not now."""
    try:
        while True:
            if descriptor is not None and filing.changed_since(entry, descriptor):
                entry = _judge_changed(ledger, folders, layout, handles, entry, descriptor)
            moved = filing.move(entry, handles, descriptor)
            if moved is Moved.TAKEN:
                entry = _send_elsewhere(ledger, handles, entry)
                log.info("file.collision", id=entry.id, name=names.to_text(entry.target))
            elif (
                moved is Moved.DONE
                and descriptor is not None
                and filing.changed_since(entry, descriptor)
            ):
                entry = replace(entry, source=entry.target)
            else:
                return moved
    except ValueError as error:  # below none of today's folders: the settings have changed
        return str(error)
    except OSError as error:
        if error.errno in _STORAGE:
            reason = _STORAGE[error.errno]
            path = names.to_text(entry.target)
            raise Trouble(reason, f"{path}: {error.strerror}", "look after the disk") from error
        return error.strerror or str(error)


def _send_elsewhere(ledger: Ledger, handles: Handles, entry: Entry) -> Entry:
    with ledger.writing() as pen:
        target = filing.free_target(handles, entry.target, entry.id, taken=True)
        pen.update(entry.id, path=ledger.text(target))
    return replace(entry, target=target)


def _judge_changed(
    ledger: Ledger,
    folders: Folders,
    layout: filing.Layout,
    handles: Handles,
    entry: Entry,
    descriptor: int,
) -> Entry:
    """The file was written to after it was read: the decision is of bytes that are no more."""
    status, sha256 = filing.stable_digest(descriptor)
    with ledger.writing() as pen:
        row = pen.row(entry.id)
        wanted = filing.target(folders, "unsure", row.original, layout, row.recorded_at)
        (target,) = choose(pen, handles, [entry.id], [wanted])
        pen.changed_late(entry.id, status, sha256, entry.source, target)
    log.warning("file.changed_late", id=entry.id, name=names.to_text(entry.source))
    return replace(
        entry,
        target=target,
        sha256=sha256,
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
    )
