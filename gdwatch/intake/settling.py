"""Settling (debouncing): a file is complete if two looks `settle_ms` apart find it unchanged.

- The clock is monotonic; a file's own times are only compared with each other.
- A change of size, time or inode starts the wait over.
- An empty file waits for a minute, since it may still be filled.
- A file that a process has open for writing waits until half a minute after its last change.
- A single run gives up on a file that goes on changing.

The number of files under observation is bounded: a full inbox costs no memory.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice, takewhile

import structlog

from gdwatch.files import escaping
from gdwatch.values import Identity

log = structlog.get_logger()

REST_S = 1.0  # between looks at files not expected to change: empty and refused ones
_WINDOW = 4096  # files under observation at once
_EMPTY_FILE_WAIT_S = 60.0
_ONCE_WAIT_S = 30.0
_NETWORK_SETTLE_S = 5.0  # there, writes of other hosts show late, and scanners reopen files
_WRITER_WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Look:
    """The state in which a file was last seen. Times in seconds, monotonic.

    since_s: when the settling time began: at changed_s, or when last found open for writing.
    changed_s: when this state was first seen. first_s: when the file was first seen.
    received_at: when the file was first seen, UTC.
    """

    identity: Identity
    since_s: float
    changed_s: float
    first_s: float
    received_at: datetime


def settled(look: Look, now_s: float, settle_s: float, empty_s: float) -> bool:
    """Whether an unchanged file has waited long enough: `settle_s`, or `empty_s` if empty."""
    return now_s - look.since_s >= (settle_s if look.identity.size_bytes else empty_s)


class Settling:
    """The files under observation. All times are in seconds, monotonic.

    once: a single run, which gives empty files no extra time and gives up on files that go on
    changing.

    given_up: how many files a single run left behind, since they went on changing.
    """

    def __init__(self, settle_ms: int, *, once: bool) -> None:
        self._settle_ms = settle_ms
        self._once = once
        self.wait(shared=False)
        self._looks: dict[bytes, Look] = {}  # the oldest first
        self._empty_looks: dict[bytes, Look] = {}  # of empty files, if they wait for longer
        self.given_up = 0

    def wait(self, *, shared: bool) -> None:
        """Set how long files have to look the same. shared: other hosts may write to them."""
        self._settle_s = max(self._settle_ms / 1000, _NETWORK_SETTLE_S if shared else 0.0)
        self._empty_s = self._settle_s if self._once else max(_EMPTY_FILE_WAIT_S, self._settle_s)

    def __len__(self) -> int:
        return len(self._looks) + len(self._empty_looks)

    @property
    def room(self) -> int:
        """How many more files can be observed."""
        return max(0, _WINDOW - len(self))

    @property
    def has_room(self) -> bool:
        """Whether more files can be observed."""
        return self.room > 0

    def observes(self, path: bytes, size_bytes: int | None = None) -> bool:
        """Whether a file is under observation; an empty one is not if `size_bytes` is above 0."""
        is_empty = path in self._empty_looks and not size_bytes
        return path in self._looks or is_empty

    def begin(self, path: bytes, identity: Identity, now_s: float) -> None:
        """Start to observe a file."""
        self._observe(path, Look(identity, now_s, now_s, now_s, datetime.now(UTC)))

    def forget(self, path: bytes) -> None:
        """Stop observing a file."""
        self._looks.pop(path, None)
        self._empty_looks.pop(path, None)

    def due(self, now_s: float, limit: int) -> list[bytes]:
        """Up to `limit` files whose settling time is over, the oldest look first."""
        due = takewhile(
            lambda path: now_s - self._looks[path].since_s >= self._settle_s, self._looks
        )
        return list(islice(due, limit))

    def empty(self) -> list[bytes]:
        """The empty files, to be looked at once a second, since any may have been filled."""
        return list(self._empty_looks)

    def next_look_at_s(self, rested_at_s: float) -> float:
        """When the next file must be looked at; infinity without files.

        rested_at_s: when the empty files were last looked at.
        """
        due_s = float("inf")
        for look in islice(self._looks.values(), 1):
            due_s = look.since_s + self._settle_s
        for look in islice(self._empty_looks.values(), 1):
            due_s = min(due_s, max(look.since_s + self._empty_s, rested_at_s + REST_S))
        return due_s

    def look_again(
        self, path: bytes, identity: Identity, now_s: float, is_being_written: Callable[[], bool]
    ) -> Look | None:
        """Compare a file with its last look; returns that look if it is complete, else None.

        is_being_written: called only for a file that has settled, and not long after a change.
        """
        look = self._looks.get(path) or self._empty_looks[path]
        if identity != look.identity:
            self._start_over(path, look, identity, now_s)
        elif not settled(look, now_s, self._settle_s, self._empty_s):
            return None
        # Writes through a memory map change neither size nor time until the kernel writes them
        # back, and a writer may pause for longer than `settle_ms`.
        elif now_s - look.changed_s < _WRITER_WAIT_S + self._settle_s and is_being_written():
            self._observe(path, replace(look, since_s=now_s))
        else:
            self.forget(path)
            return look
        return None

    def _start_over(self, path: bytes, look: Look, identity: Identity, now_s: float) -> None:
        if self._once and now_s - look.first_s > max(_ONCE_WAIT_S, 10 * self._settle_s):
            self.forget(path)
            self.given_up += 1
            log.warning("file.deferred", name=escaping.escape(path), reason="still being written")
        else:
            self._observe(path, Look(identity, now_s, now_s, look.first_s, look.received_at))

    def _observe(self, path: bytes, look: Look) -> None:
        """Queue a file for its next look; empty files have a queue of their own."""
        self.forget(path)
        is_slow = look.identity.size_bytes == 0 and self._empty_s > self._settle_s
        (self._empty_looks if is_slow else self._looks)[path] = look
