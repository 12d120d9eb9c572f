"""The backlog: which files wait in the inbox, and for how long, by a listing of its own."""

import heapq
import time
from collections.abc import Collection
from dataclasses import dataclass

from gdwatch.errors import Trouble
from gdwatch.intake.inbox_listing import Listing
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings

_NAMED = 5  # of the oldest


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that waits. path: bytes, absolute. waits_s: since it came; see `backlog`."""

    path: bytes
    waits_s: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """The files that wait.

    oldest: the first that came, a few of them, the oldest first.
    empty_folders: below the inbox.
    """

    files: int = 0
    oldest: tuple[Waiting, ...] = ()
    empty_folders: int = 0

    @property
    def oldest_s(self) -> float:
        """How long ago the first of them came, in seconds; 0 if none waits."""
        return self.oldest[0].waits_s if self.oldest else 0.0


def backlog(folders: Folders, settings: Settings, but: Collection[bytes] = ()) -> Backlog | None:
    """List the inbox; None if it cannot be listed.

    but: paths of files that have to stay, and do not count.

    The age is since the last change of the inode, as by the rename into the inbox, and by the
    clock: it is for a person to look at, and decides nothing.
    """
    now_s = time.time()
    files = 0
    oldest: list[tuple[float, bytes, int]] = []  # a heap, the youngest of the oldest first
    listing = Listing(folders, settings, lambda *_: None)
    try:
        for path, status in listing.files():
            if path in but:
                continue
            files += 1
            each = (max(0.0, now_s - status.st_ctime), path, status.st_size)
            if len(oldest) < _NAMED:
                heapq.heappush(oldest, each)
            else:
                heapq.heappushpop(oldest, each)
    except Trouble:
        return None
    named = (Waiting(path, waits_s, size) for waits_s, path, size in sorted(oldest, reverse=True))
    return Backlog(files, tuple(named), listing.empty)
