"""What lies in the inbox, and which of it is to be handed out.

The listing of the folder is the truth; notifications only make it happen sooner. It is read lazily.
When a file is complete, `settling` says.
"""

import os
import stat
from collections.abc import Generator
from datetime import UTC, datetime
from functools import partial
from itertools import islice

import structlog

from gdwatch.backoff import Backoff
from gdwatch.errors import Trouble
from gdwatch.files import escaping
from gdwatch.files.identity import identity_of
from gdwatch.files.mounts import is_mount_point, mount_of, on_network
from gdwatch.intake.inbox_listing import Listing
from gdwatch.intake.opening import is_being_written
from gdwatch.intake.settling import REST_S, Settling
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import Drop, Identity

log = structlog.get_logger()

_STEPS = 4096  # names of the listing read in one turn
_ARRIVALS = 4096  # seen to come by rename, and not yet handed out


class Inbox:
    """The inbox of one service.

    once: list it a single time, and then be `exhausted`.
    """

    def __init__(self, folders: Folders, settings: Settings, *, once: bool = False) -> None:
        self._folders = folders
        self._settling = Settling(settings.settle_ms, once=once)
        self._once = once
        self._listing = Listing(folders, settings, self.skip)
        self._arrived: dict[bytes, datetime] = {}
        self._taken: dict[bytes, Identity] = {}
        self._again: set[bytes] = set()  # taken, and seen to come by rename once more
        self._walk: Generator[tuple[bytes, os.stat_result]] | None = None
        self._rescan = True
        self._found_again: set[bytes] = set()
        self._refused: dict[bytes, Identity] = {}
        self._tries = Backoff[bytes]()  # of those that were refused
        self._now_s = 0.0
        self._looked_s = float("-inf")  # at the inbox itself
        self._rested_s = float("-inf")  # since the last look at empty and refused files
        self._mounts: set[int] = set()  # on which it has been and may be again
        self._mount = -1  # that of the last look
        self._was_mounted = False
        self.skipped: dict[bytes, str] = {}
        self.newly_skipped: list[tuple[bytes, str, str]] = []  # path, reason, hint: to be reported

    def rescan(self) -> None:
        """List the folder again, after the listing that may be under way."""
        self._rescan = True

    def let_go(self) -> None:
        """Close the folder, so that its disk can be unmounted; the listing will start over."""
        if self._walk is not None:
            self._walk.close()
            self._walk = None
            self._rescan = True

    @property
    def exhausted(self) -> bool:
        """Whether a single listing is over and everything of it was handed out."""
        return not (self._walk or self._rescan or self._settling or self._arrived)

    @property
    def given_up(self) -> int:
        """How many files a single run had to leave behind, since they went on changing."""
        return self._settling.given_up

    def ready(self, limit: int, now_s: float) -> list[Drop]:
        """Up to `limit` complete files, each handed out once until `release`.

        Raises Trouble if the inbox is not there; where there is nothing to look at, it is looked
        for once a second.
        """
        drops: list[Drop] = []
        self._now_s = now_s
        if not self._has_work(limit, now_s):
            return drops
        try:
            with Handles(self._folders) as handles:
                self._require_usable(handles)
                self._looked_s = now_s
                self._take_arrived(handles, limit, drops)
                self._look_again(handles, limit, now_s, drops)
                if limit > 0 and now_s - self._rested_s >= REST_S:
                    self._rested_s = now_s
                    self._try_again(handles, now_s)
                    self._look_at_empty(handles, limit, now_s, drops)
                self._look_further(now_s)
        except Trouble:
            for drop in drops:  # nobody gets these, so the next listing must find them
                self.release(drop.path)
            self._walk = None
            self.rescan()
            raise
        if drops:  # from now on, only where these lie
            self._mounts = {self._mount}
        return drops

    def _has_work(self, limit: int, now_s: float) -> bool:
        """Whether to look at anything now: most turns of a busy service only wait for others."""
        if now_s - self._looked_s >= REST_S or (limit > 0 and self._arrived):
            return True
        if (self._walk is not None or self._rescan) and self._settling.has_room:
            return True
        return limit > 0 and bool(self._settling.due(now_s, 1))

    def require_usable(self) -> None:
        """Raise Trouble if the inbox is not there, or nothing can be taken out of it."""
        with Handles(self._folders) as handles:
            self._require_usable(handles)

    def _require_usable(self, handles: Handles) -> None:
        inbox = handles.base(self._folders.inbox)
        name = f"inbox {os.fsdecode(self._folders.inbox)}"
        # What it was mounted on must not pass for it: its files would seem to be gone.
        mount = mount_of(inbox)
        if mount not in self._mounts:
            is_mounted = is_mount_point(inbox)
            if self._was_mounted and not is_mounted:
                raise Trouble("inbox_missing", f"{name}: its disk is no longer mounted", "mount it")
            self._mounts.add(mount)
            self._was_mounted |= is_mounted
        self._mount = mount
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=inbox, effective_ids=True):
            raise Trouble(
                "inbox_readonly",
                f"{name}: cannot be written",
                "make it writable for the service; it goes on by itself",
            )

    def arrived(self, path: bytes) -> None:
        """A file was seen to come by rename, so it is complete and need not settle."""
        if len(self._arrived) < _ARRIVALS:  # the listing finds what does not fit
            self._arrived[path] = datetime.now(UTC)

    def release(self, path: bytes) -> None:
        """A file that was handed out has been dealt with."""
        self._taken.pop(path, None)
        self._refused.pop(path, None)
        self._tries.forget(path)
        self.skipped.pop(path, None)
        if path in self._again:
            self._again.discard(path)
            self.arrived(path)

    def skip(self, path: bytes, reason: str, hint: str = "") -> None:
        """A file has to stay for now; it is named once, and tried again, ever later."""
        identity = self._taken.pop(path, None)
        if identity is not None:
            self._refused[path] = identity
            self._tries.failed(path, self._now_s)
        self._found_again.add(path)
        if self.skipped.get(path) != reason:
            self.skipped[path] = reason
            self.newly_skipped.append((path, reason, hint))

    def next_look_s(self, now_s: float) -> float:
        """How long nothing will become ready by waiting alone."""
        if self._arrived or ((self._rescan or self._walk) and self._settling.has_room):
            return 0.0
        due_s = self._settling.next_look_at_s(self._rested_s)
        return max(0.0, min(due_s - now_s, 60.0))

    # ------------------------------------------------------------------ looks

    def _take_arrived(self, handles: Handles, limit: int, drops: list[Drop]) -> None:
        while self._arrived and len(drops) < limit:
            for path in list(islice(self._arrived, limit - len(drops))):
                received_at = self._arrived.pop(path)
                if path in self._taken:
                    self._again.add(path)
                    continue
                status = None if self._listing.ignores(path) else self._status(handles, path)
                if status is not None and stat.S_ISREG(status.st_mode):
                    self._settling.forget(path)
                    self._hand_out(Drop(path, identity_of(status), received_at), drops)

    def _look_again(self, handles: Handles, limit: int, now_s: float, drops: list[Drop]) -> None:
        for path in self._settling.due(now_s, limit - len(drops)):
            self._look_at(path, handles, now_s, drops)

    def _look_at_empty(self, handles: Handles, limit: int, now_s: float, drops: list[Drop]) -> None:
        for path in self._settling.empty():
            if len(drops) < limit:
                self._look_at(path, handles, now_s, drops)

    def _look_at(self, path: bytes, handles: Handles, now_s: float, drops: list[Drop]) -> None:
        status = self._status(handles, path)
        if status is None or not stat.S_ISREG(status.st_mode):
            self._settling.forget(path)
            log.debug("file.vanished", name=escaping.escape(path))
            return
        identity = identity_of(status)
        is_open = partial(is_being_written, path, handles)
        look = self._settling.look_again(path, identity, now_s, is_open)
        if look is not None:
            self._hand_out(Drop(path, identity, look.received_at), drops)

    def _hand_out(self, drop: Drop, drops: list[Drop]) -> None:
        self._taken[drop.path] = drop.identity
        drops.append(drop)

    def _try_again(self, handles: Handles, now_s: float) -> None:
        """Look at what was refused and has rested long enough; a single run does not wait."""
        for path in () if self._once else self._tries.due(now_s):
            if self._settling.observes(path) or path in self._taken:
                continue
            status = self._status(handles, path)
            if status is None or not stat.S_ISREG(status.st_mode):
                self.release(path)
            else:
                self._settling.begin(path, identity_of(status), now_s)

    def _status(self, handles: Handles, path: bytes) -> os.stat_result | None:
        try:
            return handles.lstat(path)
        except (PermissionError, ValueError):
            self._listing.skip(path, "permission")
        except OSError:
            self._listing.skip(path, "unreadable")
        return None

    def _look_further(self, now_s: float) -> None:
        """Read on in the listing while there is room for more files under observation."""
        if self._walk is None:
            if not self._rescan:
                return
            self._rescan = False
            self._found_again = set()
            # Asked for each listing: another disk may be mounted there by now.
            self._settling.wait(shared=on_network(self._folders.inbox))
            self._walk = self._listing.files(now_s)
        for _ in range(_STEPS):
            if not self._settling.has_room:
                return
            found = next(self._walk, None)
            if found is None:
                self._walk = None
                self._forget_what_is_gone()
                return
            path, status = found
            if path in self.skipped:
                self._found_again.add(path)
            if self._is_candidate(path, status, now_s):
                self._settling.begin(path, identity_of(status), now_s)

    def _forget_what_is_gone(self) -> None:
        found = self._found_again
        self.skipped = {path: why for path, why in self.skipped.items() if path in found}
        self._refused = {path: seen for path, seen in self._refused.items() if path in found}
        self._tries.keep(found)

    def _is_candidate(self, path: bytes, status: os.stat_result, now_s: float) -> bool:
        if path in self._taken or self._settling.observes(path, status.st_size):
            return False
        # One that looks as it did when it was refused rests; a change may have mended it.
        return not (
            self._tries.rests(path, now_s) and identity_of(status) == self._refused.get(path)
        )


def count_waiting(folders: Folders, settings: Settings) -> int | None:
    """How many files lie in the inbox that the service would take; None if it is not there."""
    listing = Listing(folders, settings, lambda *_: None)
    try:
        return sum(1 for path, _ in listing.files() if not listing.ignores(path))
    except Trouble:
        return None
