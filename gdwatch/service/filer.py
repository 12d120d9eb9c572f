"""From decisions to folders: batches are recorded, their files moved, their rows marked.

    take ─▶ record (durable 1) ─▶ move (durable 2) ─▶ mark (durable 3) ─▶ let go

The same moves finish what a crash has left recorded, and what commands wish.
"""

import itertools
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog

from gdwatch.backoff import Backoff
from gdwatch.files import escaping
from gdwatch.filing.pending_moves import (
    MoveOptions,
    MoveReport,
    StuckFile,
    file_entries,
    file_pending,
)
from gdwatch.filing.record_decisions import record
from gdwatch.intake.inbox import Inbox
from gdwatch.ledger.ledger import Ledger
from gdwatch.pipeline.drain import close_files
from gdwatch.root.folders import Folders
from gdwatch.service.pause import PauseState
from gdwatch.service.progress import Progress
from gdwatch.settings import Settings
from gdwatch.values import Batch, Entry, Judged, Refusal

log = structlog.get_logger()

# Batches recorded together at most, and files, unless one batch has more: a sync or a commit costs
# as much for one of them.
TOGETHER, FILES_TOGETHER = 4, 128
_WISHES_S = 1.0
_SLOW_S = 1.0  # for one recording
_WAIT_S = 0.1  # for which a decided batch waits for others, while the engine judges on
_STOP_S = 20.0  # for moves under way; promised are 30 until the end


def recorded_together(sizes: Sequence[int], *, one_by_one: bool) -> int:
    """How many of the waiting batches to record now, oldest first.

    sizes: how many files each has.
    """
    files = count = 0
    for size in sizes[: 1 if one_by_one else TOGETHER]:
        files += size
        if count and files > FILES_TOGETHER:
            break
        count += 1
    return count


class Filer:
    """What is decided and not yet in its folder, and what could not be moved.

    It owns the batches that it has taken: their files are closed when they are recorded.

    stuck: recorded files that cannot be moved now, by row id.
    """

    def __init__(
        self,
        settings: Settings,
        folders: Folders,
        ledger: Ledger,
        inbox: Inbox,
        pause_state: PauseState,
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._folders = folders
        self._ledger = ledger
        self._inbox = inbox
        self._pause_state = pause_state
        self._progress = progress
        self._batches: deque[Batch] = deque()
        self._first_at_s = float("-inf")  # when the first of them was taken
        self._recording_s = float("inf")  # what the last recording took; the first is a small one
        self._wishes_at_s = float("-inf")
        self._tries = Backoff[int]()
        self.stuck: dict[int, StuckFile] = {}

    # ------------------------------------------------------------------ what was decided just now

    @property
    def waiting(self) -> int:
        """How many decided files wait to be recorded."""
        return sum(len(batch.judged) for batch in self._batches)

    def take(self, batch: Batch) -> None:
        """Take over a batch that the pipeline has decided."""
        if not self._batches:
            self._first_at_s = time.monotonic()
        self._batches.append(batch)

    def wait_s(self, now_s: float, *, is_judging: bool) -> float:
        """How long the batches may wait to be recorded together with the next ones.

        is_judging: whether a next one is on its way.
        """
        if len(self._batches) >= TOGETHER or not is_judging:
            return 0.0
        return max(0.0, self._first_at_s + _WAIT_S - now_s)

    def file(self, queue: int) -> None:
        """Record the batches, and move their files.

        queue: how many photographs are on their way, for the log.

        Raises Trouble; what is recorded by then stays recorded, the rest waits.
        """
        if self._batches:
            self._inbox.require_usable()
        while self._batches and self._may_go_on():
            began = time.monotonic()
            # Where it takes long, a stop and systemd would have to wait for it.
            is_slow = self._recording_s > _SLOW_S
            one_by_one = is_slow or self._pause_state.is_paused or self._pause_state.signals.stop
            sizes = [len(each.judged) for each in self._batches]
            count = recorded_together(sizes, one_by_one=one_by_one)
            self._file(list(itertools.islice(self._batches, count)), queue)
            self._recording_s = time.monotonic() - began

    def close(self) -> None:
        """Let go of what is not recorded: it lies in the inbox, for the next start."""
        close_files(self._batches)
        self._batches.clear()

    def _file(self, batches: list[Batch], queue: int) -> None:
        """Record some batches, move their files, mark their rows, and let the files go."""
        readable = [
            replace(batch, judged=tuple(each for each in batch.judged if not _is_unreadable(each)))
            for batch in batches
        ]
        recorded = record(self._ledger, self._folders, readable, self._settings)
        pairs = [pair for some in recorded for pair in some]
        try:
            for _, judged in pairs:
                _name_attention(judged)
            report = self._move(pairs) if pairs else MoveReport()
        finally:
            # Recorded is recorded: what could not be moved now is moved by a later turn.
            for batch in batches:
                self._batches.popleft()
                self._let_go(batch)
        moved = set(report.filed)
        for batch, some in zip(batches, recorded, strict=True):
            filed = [judged for entry, judged in some if entry.id in moved]
            if filed:
                self._tell_filed(batch, filed, queue)

    def _move(self, pairs: Sequence[tuple[Entry, Judged]]) -> MoveReport:
        """Move what was recorded just now, by the descriptors through which it was judged.

        It need not be asked of the ledger: a row that a command changes meanwhile is not marked.
        """
        began = time.monotonic()
        held = {entry.id: judged.opened.descriptor for entry, judged in pairs}
        options = MoveOptions(held, may_go_on=self._may_go_on)
        entries = [entry for entry, _ in pairs]
        report = file_entries(self._ledger, self._folders, self._settings.layout, entries, options)
        self._note(report, self.stuck, began)
        return report

    def _let_go(self, batch: Batch) -> None:
        close_files([batch])
        for each in batch.judged:
            path = each.opened.drop.path
            if _is_unreadable(each) and isinstance(each.decoded, Refusal):
                name = escaping.escape(path)
                log.error("file.deferred", name=name, reason=each.decoded.detail)
                self._inbox.skip(path, "unreadable")
            else:
                self._inbox.release(path)

    def _tell_filed(self, batch: Batch, judged: Sequence[Judged], queue: int) -> None:
        outcomes = Counter(str(each.decision.outcome) for each in judged)
        log.info(
            "batch.filed",
            files=len(judged),
            **dict(outcomes),
            decode_ms=round(sum(each.decoded.decode_ms for each in judged), 1),
            infer_ms=round(batch.infer_ms, 1),
            queue=queue + self.waiting,
        )

    # ------------------------------------------------------------------ what was recorded before

    def grant_wishes(self, now_s: float) -> None:
        """File what a crash or a command has left recorded; looked for once a second."""
        if now_s - self._wishes_at_s < _WISHES_S:
            return
        is_first = self._wishes_at_s == float("-inf")
        self._wishes_at_s = now_s
        resting = {row for row in self.stuck if self._tries.rests(row, now_s)}
        options = MoveOptions(resting=resting, may_go_on=self._may_go_on)
        report = file_pending(self._ledger, self._folders, self._settings.layout, options)
        self._note(report, {row: self.stuck[row] for row in resting}, now_s)
        if is_first:
            log.info("recovery.done", filed=len(report.filed), missing=len(report.missing))
        elif report.filed:
            log.info("batch.filed", files=len(report.filed))

    def _note(self, report: MoveReport, others: Mapping[int, StuckFile], began_s: float) -> None:
        """Name what cannot be moved now, once; it rests, as `others` do."""
        for row, stuck in report.stuck.items():
            self._tries.failed(row, began_s)
            if row not in self.stuck:
                log.error("file.deferred", name=escaping.escape(stuck.source), reason=stuck.why)
        self.stuck = {**others, **report.stuck}
        self._tries.keep(set(self.stuck))
        self._progress.excuse(time.monotonic() - began_s)

    def _may_go_on(self) -> bool:
        """Stay alive for systemd between two moves; a stop waits for them, but not for ever."""
        self._pause_state.say_alive()
        return time.monotonic() < self._pause_state.signals.stopped_at + _STOP_S


def _is_unreadable(judged: Judged) -> bool:
    return judged.decision.reason == "unreadable"


def _name_attention(judged: Judged) -> None:
    """A line for a file that somebody should look at."""
    name = escaping.escape(judged.opened.drop.path)
    if isinstance(judged.decoded, Refusal):
        log.warning("file.rejected", name=name, reason=judged.decoded.reason,
                    detail=judged.decoded.detail)  # fmt: skip
    elif judged.decision.outcome == "rejected":
        log.warning("file.rejected", name=name, reason=judged.decision.reason)
    elif judged.decision.outcome == "unsure":
        log.info("file.unsure", name=name, reason=judged.decision.reason)
