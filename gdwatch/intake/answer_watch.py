"""Notices files that leave an answer folder, and those that are written to in `rejected/`.

By inotify(7), through watchdog. Only this is asked for: the service itself moves nothing out of
these folders but what a command has asked for, so that however busy it is there are hardly any
events.
"""

import os
from collections import deque
from collections.abc import Callable, Mapping

import structlog
from watchdog.events import (
    DirMovedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.inotify_c import InotifyConstants, Mask

from gdwatch.intake.folder_watch import FolderEmitter, FolderObserver
from gdwatch.values import Outcome

log = structlog.get_logger()

_MOST = 10_000  # events not yet looked at; a listing finds the others
_START_S = 0.5  # how long the service waits for the walk of the folders
_DEPARTURES = (FileMovedEvent, DirMovedEvent)


class _Emitter(FolderEmitter):
    def get_event_mask_from_filter(self) -> Mask:
        """Ask for what the filter wants, and folders that are made: watchdog watches these, too.

        Watchdog itself would ask for arrivals as well, of which a busy service makes many.
        """
        mask = InotifyConstants.IN_MOVED_FROM | InotifyConstants.IN_CREATE
        if FileClosedEvent in (self._event_filter or ()):
            mask |= InotifyConstants.IN_CLOSE_WRITE
        return Mask(mask)


class _Listener(FileSystemEventHandler):
    """Watchdog's event handler, called on its thread."""

    def __init__(self, watch: "AnswerWatch") -> None:
        self._watch = watch

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note what was moved away or written to, and wake the service."""
        is_written = event.event_type == FileClosedEvent.event_type
        noted = self._watch.written if is_written else self._watch.departures
        noted.append(os.fsencode(event.src_path))
        self._watch.wake()


class AnswerWatch:
    """The watch on the answer folders.

    departures: paths from where a file or a folder was moved away. written: files in `rejected/`
    that a writer has closed. wake: called for each, on watchdog's thread.
    """

    def __init__(self, folders: Mapping[Outcome, bytes], wake: Callable[[], None]) -> None:
        self._folders = folders
        self.wake = wake
        self.departures: deque[bytes] = deque(maxlen=_MOST)
        self.written: deque[bytes] = deque(maxlen=_MOST)
        self._observer: FolderObserver | None = None
        self._has_failed = False

    def start(self) -> None:
        """Start the watch, unless it runs; where the kernel refuses, listings have to do.

        Large folders are watched only some time later.
        """
        if self._observer is not None:
            self._look_after(self._observer)
        elif not self._has_failed:
            self._begin()

    def _begin(self) -> None:
        try:
            observer = FolderObserver(_Emitter)
        except OSError as error:
            self._fail(error)
            return
        for outcome, folder in self._folders.items():
            wanted = [*_DEPARTURES, *([FileClosedEvent] if outcome == "rejected" else [])]
            observer.schedule(
                _Listener(self), os.fsdecode(folder), recursive=True, event_filter=wanted
            )
        self._observer = observer
        observer.begin(self.wake, _START_S)
        self._look_after(observer)

    def _look_after(self, observer: FolderObserver) -> None:
        if not observer.is_starting and observer.failure is not None:
            observer.stop()
            self._observer = None
            self._fail(observer.failure)

    def _fail(self, error: OSError) -> None:
        self._has_failed = True
        log.warning("watch.lost", reason=str(error), hint="answer folders are listed instead")

    def close(self) -> None:
        """Stop the watch, so that the disk of a folder can be unmounted; `start` tries it again."""
        self._has_failed = False
        if self._observer is not None:
            self._observer.stop()
            self._observer = None
