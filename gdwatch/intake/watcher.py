"""inotify(7) through watchdog: events wake the service early; only the listing decides."""

import errno
import logging
import os
import socket
import time
from collections import deque
from typing import Literal

import structlog
from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.inotify_c import InotifyConstants, Mask

from gdwatch.files.mounts import on_network
from gdwatch.files.open_nofollow import open_folder
from gdwatch.intake.folder_watch import FolderEmitter, FolderObserver, enough_watches

log = structlog.get_logger()
_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileMovedEvent,
    FileClosedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]
_POLL_S = 2.0
_LISTING_SHARE = 5  # while it polls, listings may take a fifth of the time
_RETRY_S = 3600.0
_LIMIT_RETRY_S = 60.0  # until it is tried whether the kernel takes more folders
_START_S = 0.5  # how long the service waits for the walk; a large inbox is walked beside it
_ARRIVALS = 10_000
_HINTS = {
    errno.ENOSPC: "polling; raise fs.inotify.max_user_watches",
    errno.EMFILE: "polling; raise fs.inotify.max_user_instances",
}


class _Listener(FileSystemEventHandler):
    """Watchdog's event handler, called on its threads."""

    def __init__(self, watch: "Watch") -> None:
        self._watch = watch

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Wake the service; note a file that arrived by rename, since it is complete."""
        if isinstance(event, FileMovedEvent) and event.dest_path:
            self._watch.arrivals.append(os.fsencode(event.dest_path))
        self._watch.changed = True
        self._watch.wake()


class _Emitter(FolderEmitter):
    """Leaves out IN_MOVED_FROM, the event of a file that leaves the inbox.

    Watchdog holds each such event back for half a second to pair it with an IN_MOVED_TO, and with
    it every arrival behind it.
    """

    def get_event_mask_from_filter(self) -> Mask:
        """The mask of inotify(7) events to ask for."""
        return Mask(super().get_event_mask_from_filter() & ~InotifyConstants.IN_MOVED_FROM)


class _Overflow(logging.Handler):
    """A log handler that notices dropped events: watchdog reports an overflow only in its log."""

    def __init__(self, watch: "Watch") -> None:
        super().__init__(logging.WARNING)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        """After an overflow, wake the service and have it list the inbox."""
        if "overflow" in record.getMessage():
            self._watch.overflowed = True
            self._watch.overflows += 1
            self._watch.changed = True
            self._watch.wake()


class Watch:
    """The watch on one inbox: by inotify, or by polling on network file systems.

    arrivals: paths of files that arrived by rename. changed: there were events. overflowed: events
    were lost. Watchdog's threads set these; the service's thread resets them.
    overflows: how often events were lost so far.

    A large inbox is watched only some time after `keep` was first called, and one of more folders
    than the kernel allows only in part: it is polled as well.

    recursive: watch the folders below it, too.
    waker: a socket that is readable when the service should wake.
    """

    def __init__(
        self, inbox: bytes, mode: Literal["auto", "events", "poll"], *, recursive: bool = True
    ) -> None:
        self._inbox = inbox
        self._recursive = recursive
        self._mode = mode
        self._is_shared = False  # with other hosts, as far as was asked
        self.waker, self._bell = socket.socketpair()
        self.waker.settimeout(0.0)
        self._bell.settimeout(0.0)
        self.arrivals: deque[bytes] = deque(maxlen=_ARRIVALS)
        self.changed = True
        self.overflowed = False
        self.overflows = 0
        self._observer: FolderObserver | None = None
        self._starting: FolderObserver | None = None
        self._has_told_limit = False
        self._identity: tuple[int, int] | None = None
        self._retry_at = float("-inf")
        self._room_at = float("-inf")  # when to ask whether the kernel takes more folders
        self._overflow = _Overflow(self)
        logging.getLogger("watchdog").addHandler(self._overflow)
        if mode == "poll":
            log.info("watch.polling", reason="setting")

    @property
    def is_polling(self) -> bool:
        """Whether there are no events, so that only listings find new files."""
        return self._observer is None

    @property
    def is_starting(self) -> bool:
        """Whether the folders of the inbox are still being found."""
        return self._starting is not None

    @property
    def unwatched(self) -> int:
        """How many folders of the inbox the kernel would not watch."""
        return 0 if self._observer is None else self._observer.unwatched

    def wake(self) -> None:
        """Wake the service. Safe from any thread and from signal handlers."""
        try:
            self._bell.send(b"!")
        except BlockingIOError:
            return  # full: unread wake-ups are waiting

    def clear(self) -> None:
        """Read away the wake-ups so far."""
        try:
            while self.waker.recv(4096):
                pass
        except BlockingIOError:
            return

    def bell(self) -> int:
        """The descriptor to write wake-ups to, for `signal.set_wakeup_fd`."""
        return self._bell.fileno()

    def rescan_s(self, wanted_s: float, listing_s: float = 0.0) -> float:
        """Seconds between listings of the inbox: `wanted_s`, but fewer while it polls.

        listing_s: what the last one took.
        """
        if self._observer is not None and not self.unwatched:
            return wanted_s
        return min(wanted_s, max(_POLL_S, _LISTING_SHARE * listing_s))

    def keep(self) -> None:
        """Start the watch, or start it again if it has died or the inbox was replaced.

        An inbox on a network file system is polled instead, until a local disk is mounted there.
        """
        if self._mode == "poll":
            return
        if self._starting is not None:
            self._take_started(self._starting)
            return
        if self._observer is not None and self._is_alive():
            self._look_after_limit(self._observer)
            return
        if self._observer is not None:
            log.warning("watch.lost", reason="the folder was removed, moved or replaced")
            self.stop()
        if time.monotonic() < self._retry_at or not _is_no_link(self._inbox):
            return
        if self._mode == "auto" and self._has_to_poll():
            return
        self._start()

    def stop(self) -> None:
        """Stop the watch, so that the inbox's disk can be unmounted."""
        for observer in (self._starting, self._observer):
            if observer is not None:
                observer.stop()
        self._starting = self._observer = None

    def retry(self) -> None:
        """Let the next `keep` try at once if an earlier start of the watch failed."""
        self._retry_at = self._room_at = float("-inf")

    def close(self) -> None:
        """Stop the watch and close its sockets."""
        self.stop()
        logging.getLogger("watchdog").removeHandler(self._overflow)
        self.waker.close()
        self._bell.close()

    def _has_to_poll(self) -> bool:
        """Whether the kernel would not learn of what others write; asked as often as is polled."""
        was_shared, self._is_shared = self._is_shared, on_network(self._inbox)
        if self._is_shared:
            self._retry_at = time.monotonic() + _POLL_S
            if not was_shared:
                log.info("watch.polling", reason="network file system")
        return self._is_shared

    def _start(self) -> None:
        try:
            observer = FolderObserver(_Emitter)
        except OSError as error:
            self._fail(error)
            return
        self._identity = _identity(self._inbox)
        observer.schedule(
            _Listener(self),
            os.fsdecode(self._inbox),
            recursive=self._recursive,
            event_filter=_EVENTS,
        )
        self._starting = observer
        observer.begin(self.wake, _START_S)
        self._take_started(observer)

    def _take_started(self, observer: FolderObserver) -> None:
        if observer.is_starting:
            return
        self._starting = None
        if observer.failure is not None:
            observer.stop()
            self._fail(observer.failure)
            return
        self._observer = observer
        self._has_told_limit = False
        self._room_at = time.monotonic() + _LIMIT_RETRY_S
        self.changed = True
        log.info("watch.started")
        self._look_after_limit(observer)

    def _fail(self, error: OSError) -> None:
        self._retry_at = time.monotonic() + _RETRY_S
        hint = _HINTS.get(error.errno or 0, "polling; the watch is tried again in an hour")
        reason = os.strerror(error.errno or 0)
        log.warning("watch.lost", errno=error.errno, reason=reason, hint=hint)

    def _look_after_limit(self, observer: FolderObserver) -> None:
        """Say that the kernel's limit is reached, once; start again when it takes more folders."""
        if not observer.unwatched:
            return
        if not self._has_told_limit:
            self._has_told_limit = True
            log.warning(
                "watch.limited",
                watched=observer.watched,
                unwatched=observer.unwatched,
                hint=self.remedy(),
            )
        if time.monotonic() >= self._room_at:
            self._room_at = time.monotonic() + _LIMIT_RETRY_S
            if observer.has_room_again():
                self.stop()
                self._start()

    def remedy(self) -> str:
        """The command that lets the kernel watch all folders; empty if it does."""
        if self._observer is None or not self.unwatched:
            return ""
        enough = enough_watches(self._observer.watched + self.unwatched)
        return f"sudo sysctl fs.inotify.max_user_watches={enough}"

    def _is_alive(self) -> bool:
        assert self._observer is not None
        alive = self._observer.is_alive() and all(
            emitter.is_alive() for emitter in self._observer.emitters
        )
        return alive and _identity(self._inbox) == self._identity


def _is_no_link(path: bytes) -> bool:
    """Whether a folder can be opened without following links, as watchdog would.

    If not, the next listing of the inbox reports why.
    """
    try:
        os.close(open_folder(path, make=False))
    except OSError:
        return False
    return True


def _identity(path: bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino)
