"""What happens to files in the answer folders, noticed while the service runs.

A notification says that something has left a folder, or that a file in `rejected/` was written to:
the likely places, and that file, are looked at at once. All other files that people have moved, or
have completed in `rejected/`, are found by listing the answer folders, a page a second.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice

import structlog

from gdwatch.files import escaping
from gdwatch.files.walk import Unlisted, files_below
from gdwatch.filing import found_files
from gdwatch.intake.answer_watch import AnswerWatch
from gdwatch.ledger.ledger import Ledger
from gdwatch.root.folders import Folders
from gdwatch.service.completed_files import CompletedFiles
from gdwatch.settings import Settings
from gdwatch.values import Identity

log = structlog.get_logger()

_PAGE_S = 1.0  # between two pages of a listing
_REST_S = 60.0  # between two listings
_PAGE = 500  # files in a page; departures looked at together


class HandMoves:
    """What one service notices.

    answers: notes departures and written files. completed: is told of every file that was written
    to, or is listed.
    """

    def __init__(
        self,
        settings: Settings,
        folders: Folders,
        ledger: Ledger,
        answers: AnswerWatch,
        completed: CompletedFiles,
    ) -> None:
        self._settings = settings
        self._folders = folders
        self._ledger = ledger
        self._answers = answers
        self._completed = completed
        self._files: Iterator[bytes] | None = None
        self._next_s = float("-inf")
        self._hashes: dict[bytes, tuple[Identity, str]] = {}  # of files without a row
        self._seen: set[bytes] = set()

    def look(self, now_s: float) -> None:
        """Look at what was noted, and list the next page if it is time. Raises Trouble.

        now_s: monotonic.
        """
        left = _first(self._answers.departures)
        self._settle([path for each in left for path in self._likely(each)])
        self._completed.note(_first(self._answers.written), now_s)
        if now_s >= self._next_s:
            self._list_page(now_s)

    def _likely(self, departure: bytes) -> Iterator[bytes]:
        """Yield where a file may be that has left a place: under its name in another folder."""
        try:
            base, steps = self._folders.split(departure)
        except ValueError:
            return
        for other in self._folders.answers.values():
            if other != base:
                yield from {b"/".join((other, *steps)), b"/".join((other, steps[-1]))}

    def _list_page(self, now_s: float) -> None:
        if self._files is None:
            self._files = self._all_files()
            self._seen = set()
        page = list(islice(self._files, _PAGE))
        self._settle(page)
        self._completed.note(page, now_s)
        self._seen |= self._hashes.keys() & set(page)
        self._next_s = now_s + _PAGE_S
        if len(page) < _PAGE:
            self._files = None
            self._hashes = {path: self._hashes[path] for path in self._seen}
            self._next_s = now_s + _REST_S

    def _all_files(self) -> Iterator[bytes]:
        for folder in self._folders.answers.values():
            for path in files_below(folder, self._settings.ignore):
                if not isinstance(path, Unlisted):
                    yield path

    def _settle(self, paths: list[bytes]) -> None:
        if not paths:
            return
        for found in found_files.settle(
            self._ledger, self._folders, self._settings, paths, self._hashes
        ):
            source, target = (escaping.escape(path) for path in (found.row.path, found.path))
            if found.is_back:
                log.info("file.back", id=found.row.id, name=target)
            else:
                log.info("file.moved", id=found.row.id, name=source, to=target, by=found.by)


def _first(noted: deque[bytes]) -> list[bytes]:
    """Take a page of paths, the oldest first."""
    return [noted.popleft() for _ in range(min(len(noted), _PAGE))]
