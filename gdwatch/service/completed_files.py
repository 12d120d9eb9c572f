"""Files that were rejected as half a photograph and have changed since: they are judged again.

Whoever uploads a file may go on writing to it after it was moved to `rejected/`. The service is
told when such a file is closed, and looks at each in its listings of the answer folders; a single
run lists `rejected/`. They are judged where they lie, as `gdwatch requeue` does.
"""

import stat
from collections.abc import Iterable
from datetime import timedelta
from itertools import islice

import structlog

from gdwatch.files import content, escaping
from gdwatch.files.identity import identity_of
from gdwatch.files.mounts import on_network
from gdwatch.files.walk import Unlisted, files_below
from gdwatch.intake.opening import is_being_written
from gdwatch.intake.settling import Settling
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.rows import Row
from gdwatch.ledger.transaction import now
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.service.unfinished_files import UNFINISHED
from gdwatch.settings import Settings
from gdwatch.values import Drop, Identity

log = structlog.get_logger()

_LONGEST = timedelta(days=1)  # between the first decision and a completion that is noticed
_PAGE = 500  # files of a listing that are looked at together
_KNOWN = 4096  # files remembered as judged again, or as unchanged


class CompletedFiles:
    """The files that one service has noticed, until they are judged.

    once: a single run, which leaves a file that has a writer or goes on changing to the next one.
    """

    def __init__(
        self, settings: Settings, folders: Folders, ledger: Ledger, *, once: bool = False
    ) -> None:
        self._settling = Settling(settings.settle_ms, once=once)
        self._once = once
        self._is_listed = False
        self._ignored = settings.ignore
        self._folders = folders
        self._ledger = ledger
        self._known: dict[bytes, Identity] = {}  # as they were handed out, or found unchanged

    @property
    def waiting(self) -> int:
        """How many files have been noticed, and not handed out."""
        return len(self._settling)

    def list_once(self, now_s: float) -> None:
        """Observe what has changed in `rejected/`; the first call does. Raises Trouble.

        now_s: monotonic.
        """
        if self._is_listed:
            return
        found = files_below(self._folders.answers["rejected"], self._ignored)
        files = (path for path in found if not isinstance(path, Unlisted))
        while page := list(islice(files, _PAGE)):
            self.note(page, now_s)
        self._is_listed = True

    def note(self, paths: Iterable[bytes], now_s: float) -> None:
        """Observe those of these files that have changed since they were rejected. Raises Trouble.

        paths: absolute, in answer folders. now_s: monotonic.
        """
        rejected = {path for path in paths if self._folders.outcome_of(path) == "rejected"}
        rows = self._unfinished(rejected)
        if not rows:
            return
        self._settling.wait(shared=on_network(self._folders.answers["rejected"]))
        with Handles(self._folders) as handles:
            for row in rows:
                found = _identity(handles, row.path)
                if found is None or not found.size_bytes or self._known.get(row.path) == found:
                    continue
                is_seen = self._settling.observes(row.path, found.size_bytes)
                if not is_seen and self._settling.has_room and _differs(row, found):
                    self._settling.begin(row.path, found, now_s)

    def ready(self, limit: int, now_s: float) -> list[Drop]:
        """Return up to `limit` files with other bytes than were rejected, once each.

        A file is returned when it has not changed for `settle_ms`, and no process of this host has
        it open for writing. now_s: monotonic. Raises Trouble.
        """
        due = self._settling.due(now_s, limit)
        if not due:
            return []
        drops = []
        with Handles(self._folders) as handles:
            for path in due:
                found = _identity(handles, path)
                if found is None:
                    self._settling.forget(path)
                elif is_being_written(path, handles):
                    if self._once:
                        self._settling.forget(path)
                    else:
                        self._settling.begin(path, found, now_s)
                elif look := self._settling.look_again(path, found, now_s, lambda: False):
                    self._remember(path, found)
                    if self._has_other_bytes(handles, path, found):
                        drops.append(Drop(path, found, look.received_at))
        return drops

    def _unfinished(self, paths: set[bytes]) -> list[Row]:
        """Return the rows at these paths that a writer may have completed."""
        if not paths:
            return []
        with self._ledger.reading() as connection:
            transaction = self._ledger.transaction(connection)
            rows = [
                row
                for row in transaction.at(paths).values()
                if row.state == "filed" and row.reason in UNFINISHED
                and now() - row.recorded_at < _LONGEST
            ]  # fmt: skip
            labels = transaction.labels([row.id for row in rows]) if rows else {}
        return [row for row in rows if row.id not in labels]

    def _has_other_bytes(self, handles: Handles, path: bytes, found: Identity) -> bool:
        for row in self._unfinished({path}):
            try:
                is_same_size = found.size_bytes == row.size_bytes
                if is_same_size and content.digest_at(handles.parent(path)) == row.sha256:
                    return False
            except (OSError, ValueError):
                return False  # it is looked at again when it has changed
            name = escaping.escape(path)
            log.info("file.judged_again", id=row.id, name=name, reason=row.reason)
            return True
        return False

    def _remember(self, path: bytes, identity: Identity) -> None:
        if len(self._known) >= _KNOWN:
            self._known.clear()  # a file that was only touched is read once more
        self._known[path] = identity


def _identity(handles: Handles, path: bytes) -> Identity | None:
    """Return the identity of a regular file; None if there is none, or it cannot be seen."""
    try:
        status = handles.lstat(path)
    except (OSError, ValueError):
        return None
    if status is None or not stat.S_ISREG(status.st_mode):
        return None
    return identity_of(status)


def _differs(row: Row, found: Identity) -> bool:
    return (row.size_bytes, row.modified_ns) != (found.size_bytes, found.modified_ns)
