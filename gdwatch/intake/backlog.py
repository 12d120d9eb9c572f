"""The backlog: which files wait in the inbox, and for how long, by a listing of its own."""

import heapq
import time
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

from gdwatch.errors import Trouble
from gdwatch.files.identity import identity_of
from gdwatch.intake.inbox import Originals, no_originals
from gdwatch.intake.inbox_listing import Listing
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings

_NAMED = 5  # of the oldest
PATIENCE_S = 5.0  # of a person who asks how many wait
_PAGE = 512  # files of which is asked at once whether they are originals


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
    originals: how many files stay in the inbox, and do not wait.
    is_complete: False if the listing was ended before it had found all of them.
    """

    files: int = 0
    oldest: tuple[Waiting, ...] = ()
    empty_folders: int = 0
    originals: int = 0
    is_complete: bool = True

    @property
    def oldest_s(self) -> float:
        """How long ago the first of them came, in seconds; 0 if none waits."""
        return self.oldest[0].waits_s if self.oldest else 0.0


def backlog(
    folders: Folders,
    settings: Settings,
    but: Collection[bytes] = (),
    originals: Originals = no_originals,
    patience_s: float = float("inf"),
) -> Backlog | None:
    """List the inbox; None if it cannot be listed.

    but: paths of files that have to stay, and do not count.
    originals: which of some files stay here, unchanged, and are not to be taken (again).
    patience_s: how long the listing may take: one of millions of files takes minutes.

    The age is since the last change of the inode, as by the rename into the inbox, and by the
    clock: it is for a person to look at, and decides nothing.
    """
    now_s, end_s = time.time(), time.monotonic() + patience_s
    files = staying = 0
    is_complete = True
    oldest: list[tuple[float, bytes, int]] = []
    listing = Listing(folders, settings, lambda *_: None)
    try:
        found = ((path, status) for path, status in listing.files() if path not in but)
        while page := list(islice(found, _PAGE)):
            if time.monotonic() > end_s:
                is_complete = False
                break
            stay = originals({path: identity_of(status) for path, status in page})
            staying += len(stay)
            files += len(page) - len(stay)
            ages = (
                (max(0.0, now_s - status.st_ctime), path, status.st_size)
                for path, status in page
                if path not in stay
            )
            oldest = heapq.nlargest(_NAMED, (*oldest, *ages))
    except Trouble:
        return None
    named = (Waiting(path, waits_s, size) for waits_s, path, size in oldest)
    return Backlog(files, tuple(named), listing.empty, staying, is_complete)
