"""A recursive watch by inotify(7), through watchdog, that keeps as much as the kernel allows.

Watchdog's own walk reads the names of all files, says nothing of folders that the kernel will not
watch, and makes an event of every file below a new folder. Here the walk looks at folders only, the
upper ones first, on a thread of its own; folders beyond the limit are counted; and a new folder is
one event, since the listing finds what is in it.
"""

import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from watchdog.events import DirCreatedEvent
from watchdog.observers.inotify import InotifyFullEmitter, InotifyObserver, InotifyWatchGroup
from watchdog.observers.inotify_c import InotifyEvent
from watchdog.observers.inotify_move_event_grouper import GroupedInotifyEvent, PathedInotifyEvent

_DEPTH = 40  # levels that are walked; the listing of the inbox goes down 32
_LIMIT = Path("/proc/sys/fs/inotify/max_user_watches")


def enough_watches(folders: int) -> int:
    """Return a value for fs.inotify.max_user_watches at which all these folders can be watched."""
    try:
        now = int(_LIMIT.read_text())
    except (OSError, ValueError):
        now = 0
    return 1 << max(4 * folders, 2 * now).bit_length() - 1


class _Group(InotifyWatchGroup):
    """The watches of one tree. unwatched: folders that the kernel would not watch."""

    def __init__(self, stopping: threading.Event, *given: Any, **named: Any) -> None:
        self._stopping = stopping
        self.unwatched = 0
        self._refused = b""  # one of them
        super().__init__(*given, **named)

    @property
    def watched(self) -> int:
        """How many folders are watched."""
        return len(self._active_callbacks_by_watch)

    def has_room_again(self) -> bool:
        """Whether the kernel now takes a folder that it has refused."""
        with self._lock:
            refused_before = self.unwatched
            self._add_callback(self._refused)
            has_room = self.unwatched == refused_before
            self.unwatched = refused_before
            return has_room

    def _add_all_callbacks(self, path: bytes) -> None:
        """Watch a folder and those below it."""
        waiting = deque([(path, 0)])
        while waiting and not self._stopping.is_set():
            folder, depth = waiting.popleft()
            self._add_callback(folder)  # before it is read: what comes meanwhile is an event
            if self.is_recursive and depth < _DEPTH:
                waiting.extend((below, depth + 1) for below in _folders_in(folder))

    def _add_callback(self, path: bytes) -> None:
        try:
            watch = self._inotify_fd.add_callback(path, self.event_mask, self._callback, self._id)
        except OSError as error:
            if path == self.path:
                raise
            if error.errno == errno.ENOSPC:  # else it is gone, or closed to us
                self.unwatched += 1
                self._refused = path
            return
        self._active_callbacks_by_path[path] = watch
        self._active_callbacks_by_watch[watch] = path

    def _recursive_simulate(self, _path: bytes) -> list[InotifyEvent]:
        return []


def _folders_in(folder: bytes) -> Iterator[bytes]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield entry.path
    except OSError:
        return  # gone, or closed to us


class FolderEmitter(InotifyFullEmitter):
    """Watchdog's source of events, for one tree."""

    def __init__(self, *given: Any, stopping: threading.Event, **named: Any) -> None:
        super().__init__(*given, **named)
        self._stopping = stopping

    def on_thread_start(self) -> None:
        """Walk the tree. Raises OSError if its uppermost folder cannot be watched."""
        self._inotify = _Group(
            self._stopping,
            self._inotify_fd,
            os.fsencode(self.watch.path),
            is_recursive=self.watch.is_recursive,
            event_mask=self.get_event_mask_from_filter(),
        )

    @property
    def group(self) -> _Group | None:
        """The watches, once the tree has been walked."""
        return self._inotify if isinstance(self._inotify, _Group) else None

    def build_and_queue_event(
        self, event: GroupedInotifyEvent, *, full_events: bool = True
    ) -> None:
        """Pass an event on; a new folder is one, whatever it holds."""
        if isinstance(event, PathedInotifyEvent):
            happened = event.ev
            if happened.is_directory and (happened.is_create or happened.is_moved_to):
                self.queue_event(DirCreatedEvent(self._decode_path(event.path)))
                return
        super().build_and_queue_event(event, full_events=full_events)


class FolderObserver(InotifyObserver):
    """Watchdog's observer, whose start may take as long as the trees are large.

    failure: why the start has failed; None as long as it has not.
    """

    def __init__(self, emitter: type[FolderEmitter]) -> None:
        super().__init__(generate_full_events=True)
        self._stopping = threading.Event()
        self._emitter_class = emitter
        self._emitter_kwargs["stopping"] = self._stopping
        self._is_over = threading.Event()
        self._starter: threading.Thread | None = None
        self.failure: OSError | None = None

    def begin(self, then: Callable[[], None], patience_s: float) -> None:
        """Start on a thread, and wait so long for it. then: called there once that is over."""

        def start() -> None:
            try:
                self.start()
            except OSError as error:
                self.failure = error
            self._is_over.set()
            then()

        self._starter = threading.Thread(target=start, daemon=True)
        self._starter.start()
        self._is_over.wait(patience_s)

    @property
    def is_starting(self) -> bool:
        """Whether the trees are still being walked."""
        return self._starter is not None and not self._is_over.is_set()

    @property
    def watched(self) -> int:
        """How many folders are watched."""
        return sum(group.watched for group in self._groups())

    @property
    def unwatched(self) -> int:
        """How many folders the kernel would not watch."""
        return sum(group.unwatched for group in self._groups())

    def has_room_again(self) -> bool:
        """Whether the kernel now takes a folder that it has refused."""
        return any(group.has_room_again() for group in self._groups() if group.unwatched)

    def stop(self) -> None:
        """Stop, also in the middle of a walk."""
        self._stopping.set()
        if self._starter is not None:
            self._starter.join()
        super().stop()

    def _groups(self) -> list[_Group]:
        emitters = [each for each in self.emitters if isinstance(each, FolderEmitter)]
        return [each.group for each in emitters if each.group is not None]
