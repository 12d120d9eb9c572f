"""Notifications of the kernel: they wake the service, and never decide anything."""

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
from watchdog.observers.inotify import InotifyFullEmitter, InotifyObserver
from watchdog.observers.inotify_c import InotifyConstants, Mask

from gdwatch.files.mounts import on_network
from gdwatch.files.open_nofollow import open_folder

log = structlog.get_logger()
_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileMovedEvent,
    FileClosedEvent,
    DirCreatedEvent,
    DirMovedEvent,
]
_POLL_S = 2.0
_RETRY_S = 3600.0
_ARRIVALS = 10_000
_HINTS = {
    errno.ENOSPC: "polling; raise fs.inotify.max_user_watches",
    errno.EMFILE: "polling; raise fs.inotify.max_user_instances",
}


class _Listener(FileSystemEventHandler):
    """Called on watchdog's threads."""

    def __init__(self, watch: "Watch") -> None:
        self._watch = watch

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Wake the service; remember what came by rename, which is complete."""
        if isinstance(event, FileMovedEvent) and event.dest_path:
            self._watch.arrivals.append(os.fsencode(event.dest_path))
        self._watch.changed = True
        self._watch.wake()


class _Emitter(InotifyFullEmitter):
    """Does not ask the kernel for what leaves the inbox.

    Watchdog would hold each such event back for half a second, to see where the file has gone,
    and with it every arrival behind it.
    """

    def get_event_mask_from_filter(self) -> Mask:
        """What to ask for, as bits of inotify(7)."""
        return Mask(super().get_event_mask_from_filter() & ~InotifyConstants.IN_MOVED_FROM)


class _Observer(InotifyObserver):
    def __init__(self) -> None:
        super().__init__(generate_full_events=True)
        self._emitter_class = _Emitter


class _Overflow(logging.Handler):
    """Watchdog says only in its log that the kernel has dropped events."""

    def __init__(self, watch: "Watch") -> None:
        super().__init__(logging.WARNING)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        """Answer an overflow with a listing."""
        if "overflow" in record.getMessage():
            self._watch.overflowed = True
            self._watch.changed = True
            self._watch.wake()


class Watch:
    """The watch on one inbox.

    arrivals: paths seen to come by rename. changed: something has happened. overflowed: events
    were lost. Set by watchdog's threads, taken back by the service's.
    """

    def __init__(self, inbox: bytes, mode: Literal["auto", "events", "poll"]) -> None:
        self._inbox = inbox
        self._mode = mode
        self._is_shared = False  # with other hosts, as far as was asked
        self.waker, self._bell = socket.socketpair()
        self.waker.settimeout(0.0)
        self._bell.settimeout(0.0)
        self.arrivals: deque[bytes] = deque(maxlen=_ARRIVALS)
        self.changed = True
        self.overflowed = False
        self._observer: InotifyObserver | None = None
        self._identity: tuple[int, int] | None = None
        self._retry_at = float("-inf")
        self._overflow = _Overflow(self)
        logging.getLogger("watchdog").addHandler(self._overflow)
        if mode == "poll":
            log.info("watch.polling", reason="setting")

    @property
    def is_polling(self) -> bool:
        """Whether nothing wakes the service."""
        return self._observer is None

    def wake(self) -> None:
        """End the wait of the service. Safe from any thread and from signal handlers."""
        try:
            self._bell.send(b"!")
        except BlockingIOError:
            return  # it is about to wake anyway

    def clear(self) -> None:
        """Forget the wake-ups so far."""
        try:
            while self.waker.recv(4096):
                pass
        except BlockingIOError:
            return

    def bell(self) -> int:
        """The descriptor for signal.set_wakeup_fd."""
        return self._bell.fileno()

    def rescan_s(self, wanted_s: float) -> float:
        """How often to list the inbox; more often where nothing wakes the service."""
        return wanted_s if self._observer is not None else min(wanted_s, _POLL_S)

    def keep(self) -> None:
        """Watch the folder that lies at the inbox's path now; again, if the watch has died.

        What lies on a network is polled instead, until a local disk is mounted there.
        """
        if self._mode == "poll":
            return
        if self._observer is not None and self._is_alive():
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
        """Let the folder go, so that its disk can be unmounted."""
        if self._observer is not None:
            self._observer.stop()
            self._observer = None

    def retry(self) -> None:
        """What kept it from watching may be over: try again at once."""
        self._retry_at = float("-inf")

    def close(self) -> None:
        """End it for good."""
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
        observer = _Observer()
        try:
            self._identity = _identity(self._inbox)
            observer.schedule(
                _Listener(self), os.fsdecode(self._inbox), recursive=True, event_filter=_EVENTS
            )
            observer.start()
        except (OSError, RecursionError) as error:  # watchdog walks the tree by recursion
            observer.stop()
            self._retry_at = time.monotonic() + _RETRY_S
            number = error.errno if isinstance(error, OSError) else None
            log.warning(
                "watch.lost",
                errno=number,
                reason=os.strerror(number) if number else "folders in folders, too deep to watch",
                hint=_HINTS.get(number or 0, "polling; the watch is tried again in an hour"),
            )
            return
        self._observer = observer
        self.changed = True
        log.info("watch.started")

    def _is_alive(self) -> bool:
        assert self._observer is not None
        alive = self._observer.is_alive() and all(
            emitter.is_alive() for emitter in self._observer.emitters
        )
        return alive and _identity(self._inbox) == self._identity


def _is_no_link(path: bytes) -> bool:
    """Whether a folder is where it was configured: watching follows links, and lists what is there.

    What stands in its place is told by whoever opens it.
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
