"""The second and third durable steps: move recorded files, and mark their rows.

The same code serves files judged just now, rows that a crash has left, and moves that commands
request.
"""

import errno
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from gdwatch.errors import Trouble
from gdwatch.files import content, escaping
from gdwatch.files.identity import modified_ns
from gdwatch.filing import destination, move
from gdwatch.filing.placement import choose
from gdwatch.filing.renaming import Moved
from gdwatch.filing.staying import original_of
from gdwatch.ledger import originals
from gdwatch.ledger.ledger import Ledger
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.values import Entry

log = structlog.get_logger()

_STORAGE = {
    errno.EIO: "storage_error",
    errno.ENOSPC: "disk_full",
    errno.EROFS: "read_only",
    errno.EDQUOT: "quota_full",
}
_PAGE = 256  # recorded rows at a time
_ATTEMPTS = 5  # until the target is free and the file is not being written to


@dataclass(frozen=True, slots=True)
class StuckFile:
    """A recorded file that cannot be moved now. why: usually the system's error message."""

    source: bytes
    why: str


@dataclass(slots=True)
class MoveReport:
    """How the moves of one round ended, by row id.

    restored: files that were put back. kept: files that could not be, and are filed as before.
    changed: those of `filed` that were written to after they were read, and so went to `unsure`.
    """

    filed: list[int] = field(default_factory=list)
    restored: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    changed: set[int] = field(default_factory=set)
    missing: list[int] = field(default_factory=list)
    stuck: dict[int, StuckFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MoveOptions:
    """Options of one round of moves.

    held: by row id, the descriptors through which files were judged just now.
    resting: ids of rows that are backing off and not tried now.
    may_go_on: called before each move, since one may take long; False ends the round early.
    """

    held: Mapping[int, int] = field(default_factory=dict)
    resting: Collection[int] = ()
    may_go_on: Callable[[], bool] = lambda: True


def file_entries(
    ledger: Ledger,
    folders: Folders,
    layout: destination.FolderLayout,
    entries: Sequence[Entry],
    options: MoveOptions,
) -> MoveReport:
    """Move these recorded files to their paths, make that durable, and mark their rows.

    A single file that cannot be moved stays recorded, and is tried again next time. Raises Trouble
    if a configured folder, its disk or the database is at fault, and as `make_durable`.
    """
    ended = MoveReport()
    with Handles(folders) as handles:
        _Round(ledger, handles, layout, options).file(entries, ended)
    return ended


def file_pending(
    ledger: Ledger,
    folders: Folders,
    layout: destination.FolderLayout,
    options: MoveOptions | None = None,
) -> MoveReport:
    """Do the same for every recorded row of the root. Raises as `file_entries`."""
    options = options or MoveOptions()
    ended = MoveReport()
    after = 0
    goes_on = True
    while goes_on and (entries := ledger.pending(after, _PAGE)):
        after = entries[-1].id
        with Handles(folders) as handles:
            goes_on = _Round(ledger, handles, layout, options).file(entries, ended)
        goes_on = goes_on and len(entries) == _PAGE
    return ended


@dataclass(frozen=True, slots=True)
class _Round:
    """One round of moves, with the folders open."""

    ledger: Ledger
    handles: Handles
    layout: destination.FolderLayout
    options: MoveOptions

    def file(self, entries: Sequence[Entry], ended: MoveReport) -> bool:
        """Move, sync, mark; add to `ended`, and return whether to go on."""
        moved = _Moves()
        goes_on = True
        for entry in entries:
            if entry.id in self.options.resting:
                continue
            if not (goes_on := self.options.may_go_on()):
                break
            self._sort(entry, self._try_move(entry), moved, ended)
        self.handles.sync()
        self._mark(moved)
        ended.filed += [entry.id for entry in moved.filed]
        ended.changed |= _changed(entries, moved.filed)
        ended.restored += [entry.id for entry in moved.restored]
        ended.kept += [entry.id for entry in moved.kept]
        ended.missing += [entry.id for entry in (*moved.gone, *moved.gone_back)]
        return goes_on

    def _sort(
        self,
        entry: Entry,
        how: tuple[Moved, Entry] | StuckFile,
        moved: "_Moves",
        ended: MoveReport,
    ) -> None:
        """Add an entry to those whose moves ended like its own."""
        goes_back = move.goes_back(entry, self.handles.folders)
        match how:
            case StuckFile(why=why) if goes_back and self._is_untouched(entry):
                moved.kept.append(entry)
                name = escaping.escape(entry.target)
                log.warning("file.not_restored", id=entry.id, name=name, reason=why)
            case StuckFile() as stuck:
                ended.stuck[entry.id] = stuck
            case Moved.DONE, entry:
                (moved.restored if goes_back else moved.filed).append(entry)
            case Moved.CHANGED, entry if goes_back:
                moved.kept.append(entry)
            case _, entry:
                (moved.gone_back if goes_back else moved.gone).append(entry)
                log.error("file.missing", id=entry.id, name=escaping.escape(entry.source))

    def _is_untouched(self, entry: Entry) -> bool:
        """Whether nothing of a file has reached its target: its row may be as it was before."""
        try:
            return not move.has_content(entry.target, entry, self.handles)
        except (OSError, ValueError):
            return True

    def _mark(self, moved: "_Moves") -> None:
        """Mark rows, and remember in the same transaction what stays in the inbox."""
        if moved == _Moves():
            return
        done = (*moved.filed, *moved.restored)
        held = self.options.held
        left = [original_of(entry, self.handles, held.get(entry.id)) for entry in done]
        with self.ledger.writing() as transaction:
            transaction.mark_filed(moved.filed)
            transaction.mark_restored(moved.restored)
            transaction.mark_not_restored(moved.kept, "filed")
            transaction.mark_not_restored(moved.gone_back, "missing")
            transaction.mark_gone(moved.gone)
            originals.remember(transaction, [each for each in left if each is not None])

    def _try_move(self, entry: Entry) -> tuple[Moved, Entry] | StuckFile:
        try:
            moved, entry = self._move(entry)
        except ValueError as error:  # below no configured folder: the settings have changed
            return StuckFile(entry.source, str(error))
        except content.Unreadable as error:
            return StuckFile(entry.source, f"cannot be read: {error.strerror}")
        except OSError as error:
            # A disk of the person's choice stops no service.
            if not move.goes_back(entry, self.handles.folders):
                _raise_if_storage(entry, error)
            return StuckFile(entry.source, error.strerror or str(error))
        if moved is Moved.TAKEN:
            return StuckFile(entry.source, "its name is taken each time")
        return moved, entry

    def _move(self, entry: Entry) -> tuple[Moved, Entry]:
        """Move one file, with another target if its target is taken.

        Returns how the move ended, and the entry with its last source and target.
        """
        descriptor = self.options.held.get(entry.id)
        if entry.restored_to is not None:
            self.handles.admit(entry.restored_to)
        moved = Moved.TAKEN
        for _ in range(_ATTEMPTS):
            if descriptor is not None and move.changed_since(entry, descriptor):
                entry = self._mark_changed(entry, descriptor)
            moved = move.move(entry, self.handles, descriptor)
            renamed = self._renamed(entry, descriptor) if moved is Moved.GONE else None
            if renamed is not None:
                entry = renamed
            elif moved is Moved.TAKEN:
                entry = self._send_elsewhere(entry)
                log.info("file.collision", id=entry.id, name=escaping.escape(entry.target))
            elif descriptor is None or not move.changed_since(entry, descriptor):
                break
            elif moved is Moved.DONE:
                entry = replace(entry, source=entry.target)
        return moved, entry

    def _renamed(self, entry: Entry, descriptor: int | None) -> Entry | None:
        """Follow a file that was renamed in the inbox since it was recorded; None if it is gone.

        descriptor: through which the file was judged; without one, only its old name is known.
        """
        source = None if descriptor is None else self.handles.path_in_inbox(descriptor)
        if source is None or source == entry.source:
            return None
        log.debug("file.vanished", name=escaping.escape(entry.source))
        return replace(entry, source=source)

    def _send_elsewhere(self, entry: Entry) -> Entry:
        """Give a row another path: its target was taken after it was chosen.

        Raises FileExistsError for a file that is to be put back: it belongs nowhere else.
        """
        if move.goes_back(entry, self.handles.folders):
            raise FileExistsError(errno.EEXIST, "another file lies there")
        folder = entry.target.rpartition(b"/")[0]
        with self.ledger.writing() as transaction:
            name = transaction.row(entry.id).original.rpartition(b"/")[2]
            (target,) = choose(transaction, self.handles, [entry.id], [folder + b"/" + name])
            transaction.update(entry.id, path=self.ledger.text(target))
        return replace(entry, target=target)

    def _mark_changed(self, entry: Entry, descriptor: int) -> Entry:
        """Make a file `unsure` that was written to after it was read: other bytes were judged."""
        status, sha256 = content.stable_digest(descriptor)
        with self.ledger.writing() as transaction:
            row = transaction.row(entry.id)
            wanted = destination.target(
                self.handles.folders, "unsure", row.original, self.layout, row.recorded_at
            )
            (target,) = choose(transaction, self.handles, [entry.id], [wanted])
            transaction.changed_late(entry.id, status, sha256, entry.source, target)
        log.warning("file.changed_late", id=entry.id, name=escaping.escape(entry.source))
        return replace(
            entry,
            target=target,
            sha256=sha256,
            size_bytes=status.st_size,
            modified_ns=modified_ns(status),
        )


@dataclass(slots=True)
class _Moves:
    """The entries of one round, by how their moves ended; see `MoveReport`.

    gone: files that are nowhere; gone_back: likewise, but they were to be put back.
    """

    filed: list[Entry] = field(default_factory=list)
    restored: list[Entry] = field(default_factory=list)
    kept: list[Entry] = field(default_factory=list)
    gone_back: list[Entry] = field(default_factory=list)
    gone: list[Entry] = field(default_factory=list)


def _changed(before: Sequence[Entry], filed: Sequence[Entry]) -> set[int]:
    """Return the ids of the filed entries that other bytes were filed for than were recorded."""
    recorded = {each.id: (each.size_bytes, each.modified_ns) for each in before}
    return {each.id for each in filed if (each.size_bytes, each.modified_ns) != recorded[each.id]}


def _raise_if_storage(entry: Entry, error: OSError) -> None:
    """Raise Trouble for a disk error: it concerns every file, so the service pauses."""
    reason = _STORAGE.get(error.errno or 0)
    if reason is not None:
        path = escaping.escape(entry.target)
        raise Trouble(reason, f"{path}: {error.strerror}", "look after the disk") from error
