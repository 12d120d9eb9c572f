"""What a person wishes on the page, recorded as the commands record it: verdicts, undo, requeue.

Files are moved by the service if it runs, else here, as by a command; no request waits for that.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import structlog

from gdwatch.errors import GdwatchError
from gdwatch.filing import move_requests
from gdwatch.jobs import undo, verdicts
from gdwatch.jobs.rejudge import RejudgeOptions, Rejudging
from gdwatch.jobs.verdicts import VerdictOptions
from gdwatch.ledger.ledger import Command, Ledger
from gdwatch.ledger.opening import asked_by
from gdwatch.ledger.rows import Row
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.ui import photographs
from gdwatch.values import Verdict

log = structlog.get_logger()

_MOST_TO_JUDGE = 100
_MOST_NAMED = 10  # photographs, in the command's row


class Conflict(GdwatchError):  # noqa: N818 - somebody else was faster
    """The photograph is not any more as the person has seen it."""


@dataclass(frozen=True, slots=True)
class Said:
    """What came of a verdict. command_id: for `undo`; None if nothing was recorded.

    ids: of the photographs with the verdict. refused: why others have none.
    """

    command_id: int | None
    ids: list[int]
    refused: list[GdwatchError]


class Wishes:
    """Records wishes, and has files moved and judged again in the background. Thread-safe.

    failure: what has kept files from being moved or judged last; empty if nothing has.
    """

    def __init__(self, ledger: Ledger, folders: Folders, settings: Settings) -> None:
        self._ledger = ledger
        self._folders = folders
        self._settings = settings
        self._mover = ThreadPoolExecutor(1, "mover")
        self._judge = ThreadPoolExecutor(1, "judge")
        self._lock = threading.Lock()
        self._to_judge: set[int] = set()
        self._last_said: list[int] = []
        self.failure = ""

    def say(self, seen: Mapping[int, str], verdict: Verdict, by: str) -> Said:
        """Record a person's verdict on photographs, as `gdwatch correct`, in one transaction.

        seen: by id, `seen` of the photographs that the person has looked at. by: their name.

        Raises NoSuchPhotograph, and Trouble.
        """
        refused: list[GdwatchError] = []
        with self._ledger.reading() as connection:
            found = photographs.those(connection, self._ledger.root_id, list(seen))
            rows = self._ledger.transaction(connection).rows([each.id for each in found])
        wanted = []
        for now, row in zip(found, rows, strict=True):
            if now.seen == seen[now.id] and row.state == "filed":
                wanted.append(row)
            else:
                what = f"{now.name}: somebody has decided it, or it is being moved"
                refused.append(Conflict(what, "go on"))
        asked = ", ".join(map(str, list(seen)[:_MOST_NAMED])) + " …" * (len(seen) > _MOST_NAMED)
        command = Command("correct", f"ui: {asked} {verdict}", by)
        options = VerdictOptions(verdict, by=by, command=command)
        done = verdicts.record(self._ledger, self._folders, self._settings, wanted, options)
        ids = [row.id for row in done.rows]
        if ids:
            self._last_said = ids
            self._later(self._mover, partial(self._move, ids))
        return Said(done.command_id if ids else None, ids, refused + done.refused)

    def take_back(self, command_id: int, by: str) -> list[int]:
        """Take a person's own verdict back, as `gdwatch undo`; return the ids of its files.

        Raises GdwatchError.
        """
        asked = asked_by(self._ledger, Command("undo", f"ui: {command_id}", by))
        given = (asked, self._folders, self._settings)
        undone = undo.undo(*given, dry_run=False, of=undo.CommandOf(command_id, by))
        for path, why in undone.left.items():
            raise GdwatchError(f"{path}: {why}", "it is left as it is")
        return sorted(undone.ids)

    def requeue(self, file_id: int, by: str) -> None:
        """Have a file judged again, as `gdwatch requeue`. Raises GdwatchError."""
        with self._ledger.reading() as connection:
            photographs.one(connection, self._ledger.root_id, file_id)
            row = self._ledger.transaction(connection).row(file_id)
        if row.state != "filed":
            raise move_requests.being_moved(row)
        with self._lock:
            if file_id in self._to_judge or len(self._to_judge) >= _MOST_TO_JUDGE:
                raise GdwatchError(f"id {file_id}: waits to be judged already, or too many do")
            self._to_judge.add(file_id)
        asked = asked_by(self._ledger, Command("requeue", f"ui: {file_id}", by))
        self._later(self._judge, partial(self._judge_again, asked, row))

    def _judge_again(self, asked: Ledger, row: Row) -> None:
        with self._lock:
            self._to_judge.discard(row.id)
        failed: list[str] = []

        def done(_: bytes, why: str | None) -> None:
            if why is not None:
                failed.append(why)

        options = RejudgeOptions(move=True, again=True)
        rejudging = Rejudging(asked, self._folders, self._settings, options, done)
        for tally in rejudging.over(iter([row.path])):
            self._move(tally.to_move)
        if failed:
            raise GdwatchError(f"{asked.text(row.path)}: {failed[0]}")

    def _move(self, ids: list[int]) -> None:
        move_requests.file_or_wait(self._ledger, self._folders, self._settings, ids)

    def _later(self, thread: ThreadPoolExecutor, act: Callable[[], None]) -> None:
        def acting() -> None:
            try:
                act()
                self.failure = ""
            except GdwatchError as error:
                log.warning("ui.failed", what=str(error))
                self.failure = str(error)

        thread.submit(acting)

    def close(self) -> None:
        """Finish what was begun, and move what is recorded, if nobody else does."""
        for thread in (self._mover, self._judge):
            thread.shutdown(cancel_futures=True)
        given = (self._ledger, self._folders, self._settings)
        with contextlib.suppress(GdwatchError):  # it stays recorded: whoever comes next moves it
            move_requests.file_or_wait(*given, self._last_said, patience_s=0)
