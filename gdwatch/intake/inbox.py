"""The inbox: finds files by listing the folder, and hands out those that are complete.

The listing decides which files there are; notifications only make the service list or look sooner.
The listing is read lazily. `settling` decides when a file is complete.

The module is long because one path is in exactly one state here (arrived, settling, handed out,
skipped), and every change of state is below.
"""

import os
import stat
import time
from collections.abc import Callable, Generator, Iterable, Mapping
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

_STEPS = 4096  # files and folders of the listing read in one call of `ready`
_PAGE = 512  # files of which is asked at once whether they are originals
_ARRIVALS = 4096  # paths seen to arrive by rename, and not yet handed out


Originals = Callable[[Mapping[bytes, Identity]], set[bytes]]


def no_originals(_files: Mapping[bytes, Identity]) -> set[bytes]:
    """Nothing stays in the inbox."""
    return set()


class Inbox:
    """The inbox of one service.

    once: list it a single time, until `exhausted`.
    originals: which of some files stay here, unchanged, and are not to be taken (again).
    skipped: path and reason of each file that has to stay.
    newly_skipped: path, reason and hint of those not yet reported; the caller empties it.
    listing_s: how long the last listing took, without the time in which it rested.
    """

    def __init__(
        self,
        folders: Folders,
        settings: Settings,
        *,
        once: bool = False,
        originals: Originals = no_originals,
    ) -> None:
        self._folders = folders
        self._originals = originals
        self._needed = os.X_OK | (os.W_OK if settings.mode == "move" else os.R_OK)
        self._settling = Settling(settings.settle_ms, once=once)
        self._once = once
        self._listing = Listing(folders, settings, self.skip)
        self._arrived: dict[bytes, datetime] = {}
        self._taken: dict[bytes, Identity] = {}
        self._arrived_again: set[bytes] = set()  # taken, and since seen to arrive by rename again
        self._walk: Generator[tuple[bytes, os.stat_result] | None] | None = None
        self._rescan = True
        self._reading_s = 0.0  # of the listing under way
        self.listing_s = 0.0
        self._skipped_seen: set[bytes] = set()  # skipped paths found since the listing began
        self._refused: dict[bytes, Identity] = {}
        self._backoff = Backoff[bytes]()  # of the refused files
        self._now_s = 0.0
        self._checked_s = float("-inf")  # when the inbox was last found usable
        self._slow_look_s = float("-inf")  # when empty and refused files were last looked at
        self._mounts: set[int] = set()  # ids of the mounts accepted for the inbox
        self._mount = -1  # the inbox's mount id at the last check
        self._was_mounted = False
        self.skipped: dict[bytes, str] = {}
        self.newly_skipped: list[tuple[bytes, str, str]] = []

    def rescan(self) -> None:
        """List the inbox again, once any listing under way has ended."""
        self._rescan = True

    def let_go(self) -> None:
        """Close the inbox, so that its disk can be unmounted; the listing will start over."""
        if self._walk is not None:
            self._walk.close()
            self._walk = None
            self._rescan = True

    @property
    def exhausted(self) -> bool:
        """Whether the listing is over and no file is left to hand out."""
        return not (self._walk or self._rescan or self._settling or self._arrived)

    @property
    def given_up(self) -> int:
        """How many files a single run left behind, since they went on changing."""
        return self._settling.given_up

    def ready(self, limit: int, now_s: float) -> list[Drop]:
        """Return up to `limit` complete files; none is handed out again before `release`.

        now_s: monotonic.

        Raises Trouble if the inbox is missing or not writable; with no file to look at, this is
        checked once a second.
        """
        drops: list[Drop] = []
        self._now_s = now_s
        if not self._has_work(limit, now_s):
            return drops
        try:
            with Handles(self._folders) as handles:
                self._require_usable(handles)
                self._checked_s = now_s
                self._take_arrived(handles, limit, drops)
                self._look_again(handles, limit, now_s, drops)
                if limit > 0 and now_s - self._slow_look_s >= REST_S:
                    self._slow_look_s = now_s
                    self._try_again(handles, now_s)
                    self._look_at_empty(handles, limit, now_s, drops)
                self._read_listing(now_s)
        except Trouble:
            for drop in drops:  # not returned, so the next listing must find them
                self.release(drop.path)
            self._walk = None
            self.rescan()
            raise
        if drops:  # the inbox must stay on the mount of these files
            self._mounts = {self._mount}
        return drops

    def _has_work(self, limit: int, now_s: float) -> bool:
        """Whether `ready` has anything to do: in a busy service most calls have not."""
        if now_s - self._checked_s >= REST_S or (limit > 0 and self._arrived):
            return True
        if (self._walk is not None or self._rescan) and self._settling.has_room:
            return True
        return limit > 0 and bool(self._settling.due(now_s, 1))

    def require_usable(self) -> None:
        """Raise Trouble if the inbox is missing, not writable, or no longer mounted."""
        with Handles(self._folders) as handles:
            self._require_usable(handles)

    def _require_usable(self, handles: Handles) -> None:
        inbox = handles.base(self._folders.inbox)
        name = f"inbox {os.fsdecode(self._folders.inbox)}"
        # After an unmount, the bare mount point must not pass for the inbox, its files for removed.
        mount = mount_of(inbox)
        if mount not in self._mounts:
            is_mounted = is_mount_point(inbox)
            if self._was_mounted and not is_mounted:
                raise Trouble("inbox_missing", f"{name}: its disk is no longer mounted", "mount it")
            self._mounts.add(mount)
            self._was_mounted |= is_mounted
        self._mount = mount
        if not os.access(".", self._needed, dir_fd=inbox, effective_ids=True):
            raise Trouble(
                "inbox_readonly",
                f"{name}: cannot be written",
                "make it writable for the service; it goes on by itself",
            )

    def arrived(self, path: bytes) -> None:
        """Note a file that arrived by rename: it is complete and need not settle."""
        if len(self._arrived) < _ARRIVALS:  # the listing finds the others
            self._arrived[path] = datetime.now(UTC)

    def release(self, path: bytes) -> None:
        """Forget a file that was handed out and is done with."""
        self._taken.pop(path, None)
        self._refused.pop(path, None)
        self._backoff.forget(path)
        self.skipped.pop(path, None)
        if path in self._arrived_again:
            self._arrived_again.discard(path)
            self.arrived(path)

    def skip(self, path: bytes, reason: str, hint: str = "") -> None:
        """Note a file that has to stay for now: reported once, tried again with back-off."""
        identity = self._taken.pop(path, None)
        if identity is not None:
            self._refused[path] = identity
            self._backoff.failed(path, self._now_s)
        self._skipped_seen.add(path)
        if self.skipped.get(path) != reason:
            self.skipped[path] = reason
            self.newly_skipped.append((path, reason, hint))

    def next_look_s(self, now_s: float) -> float:
        """Seconds until the next look is due, 60 at most; notifications may come before."""
        if self._arrived or ((self._rescan or self._walk) and self._settling.has_room):
            return 0.0
        due_s = self._settling.next_look_at_s(self._slow_look_s)
        return max(0.0, min(due_s - now_s, 60.0))

    # ------------------------------------------------------------------ looks

    def _take_arrived(self, handles: Handles, limit: int, drops: list[Drop]) -> None:
        while self._arrived and len(drops) < limit:
            arrived: dict[bytes, tuple[Identity, datetime]] = {}
            for path in list(islice(self._arrived, limit - len(drops))):
                received_at = self._arrived.pop(path)
                if path in self._taken:
                    self._arrived_again.add(path)
                    continue
                status = None if self._listing.ignores(path) else self._status(handles, path)
                if status is not None and stat.S_ISREG(status.st_mode):
                    arrived[path] = identity_of(status), received_at
            originals = self._originals({path: identity for path, (identity, _) in arrived.items()})
            for path, (identity, received_at) in arrived.items():
                self._settling.forget(path)
                if path not in originals:
                    self._hand_out(Drop(path, identity, received_at), drops)

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
        """Look at the refused files whose back-off is over; a single run tries none again."""
        for path in () if self._once else self._backoff.due(now_s):
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

    def _read_listing(self, now_s: float) -> None:
        """Read on in the listing while more files can be observed; start it if one is wanted."""
        if self._walk is None:
            if not self._rescan:
                return
            self._rescan = False
            self._skipped_seen = set()
            # Asked for each listing: another disk may be mounted there by now.
            self._settling.wait(shared=on_network(self._folders.inbox))
            self._walk = self._listing.steps(now_s)
            self._reading_s = 0.0
        left = _STEPS
        began = time.perf_counter()
        while wanted := max(0, min(_PAGE, left, self._settling.room)):
            left -= wanted
            page = list(islice(self._walk, wanted))
            self._begin_to_settle((each for each in page if each is not None), now_s)
            if len(page) < wanted:
                self._walk = None
                self._forget_unlisted()
                self.listing_s = self._reading_s + time.perf_counter() - began
                return
        self._reading_s += time.perf_counter() - began

    def _begin_to_settle(self, page: Iterable[tuple[bytes, os.stat_result]], now_s: float) -> None:
        candidates = {}
        for path, status in page:
            if path in self.skipped:
                self._skipped_seen.add(path)
            if self._is_candidate(path, status, now_s):
                candidates[path] = identity_of(status)
        originals = self._originals(candidates)
        for path, identity in candidates.items():
            if path not in originals:
                self._settling.begin(path, identity, now_s)

    def _forget_unlisted(self) -> None:
        found = self._skipped_seen
        self.skipped = {path: why for path, why in self.skipped.items() if path in found}
        self._refused = {path: seen for path, seen in self._refused.items() if path in found}
        self._backoff.keep(found)

    def _is_candidate(self, path: bytes, status: os.stat_result, now_s: float) -> bool:
        if path in self._taken or self._settling.observes(path, status.st_size):
            return False
        # A refused file waits for its back-off unless it has changed, which may have mended it.
        return not (
            self._backoff.rests(path, now_s) and identity_of(status) == self._refused.get(path)
        )
