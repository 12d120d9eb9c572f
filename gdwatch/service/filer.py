"""Filing of decided batches: their files are recorded and moved, and their rows marked.

    take ─▶ record (durable 1) ─▶ move (durable 2) ─▶ mark (durable 3) ─▶ close the files

The same code also moves files that a crash or a command has left recorded.
"""

import itertools
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

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
from gdwatch.ledger import queries
from gdwatch.ledger.ledger import Ledger
from gdwatch.pipeline.drain import close_files
from gdwatch.root.folders import Folders
from gdwatch.service.counts import Counts
from gdwatch.service.pause import PauseState
from gdwatch.service.progress import Progress
from gdwatch.service.unfinished_files import WRITER_HINT, UnfinishedFiles
from gdwatch.settings import Settings
from gdwatch.values import Batch, Entry, Judged, Refusal

log = structlog.get_logger()

# Batches and files recorded together at most (one batch may have more files): a sync and a commit
# cost as much for one batch as for several.
TOGETHER, FILES_TOGETHER = 4, 128
_PENDING_S = 1.0
_SLOW_S = 1.0  # after a recording that took longer, batches are recorded one by one
_WAIT_S = 0.1  # how long a decided batch waits for others while the engine is busy
_STOP_S = 20.0  # for moves, after a signal to stop; the whole stop is promised in 30


def recorded_together(sizes: Sequence[int], *, one_by_one: bool) -> int:
    """Return how many of the waiting batches to record now, oldest first.

    sizes: the number of files in each.
    """
    files = count = 0
    for size in sizes[: 1 if one_by_one else TOGETHER]:
        files += size
        if count and files > FILES_TOGETHER:
            break
        count += 1
    return count


class Filer:
    """The decided batches that are not filed yet, and the files that could not be moved.

    The filer owns the batches that it takes, and closes their files once they are recorded.

    stuck: recorded files that cannot be moved now, by row id.
    newly_recorded: what was decided and recorded, with its row; the caller empties it.
    counts: what it has filed so far. filed_at: when it last filed something; None if never.
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
        self._first_at_s = float("-inf")  # when the first waiting batch was taken
        self._recording_s = float("inf")  # of the last recording; at first, batches one by one
        self._pending_at_s = float("-inf")
        self._backoff = Backoff[int]()
        self._unfinished = UnfinishedFiles(folders)
        self.stuck: dict[int, StuckFile] = {}
        self.newly_recorded: list[tuple[Entry, Judged]] = []
        self.counts = Counts()
        self.filed_at: datetime | None = None

    # ------------------------------------------------------------------ decided batches

    @property
    def waiting(self) -> int:
        """How many decided files wait to be recorded."""
        return sum(len(batch.judged) for batch in self._batches)

    def take(self, batch: Batch) -> None:
        """Queue a decided batch, and take over the ownership of its files."""
        if not self._batches:
            self._first_at_s = time.monotonic()
        self._batches.append(batch)

    def wait_s(self, now_s: float, *, is_judging: bool) -> float:
        """Return how long the batches may wait to be recorded together with the next one.

        now_s: monotonic. is_judging: whether the engine has a next one.
        """
        if len(self._batches) >= TOGETHER or not is_judging:
            return 0.0
        return max(0.0, self._first_at_s + _WAIT_S - now_s)

    def file(self, queue: int) -> None:
        """Record the waiting batches, and move their files.

        queue: how many files are in the pipeline, for the log.

        Raises Trouble: what is recorded by then stays recorded, the other batches wait.
        """
        if self._batches:
            self._inbox.require_usable()
        while self._batches and self._may_go_on():
            began = time.monotonic()
            # A stop and systemd's watchdog would wait for a slow recording of several batches.
            is_slow = self._recording_s > _SLOW_S
            one_by_one = is_slow or self._pause_state.is_paused or self._pause_state.signals.stop
            sizes = [len(each.judged) for each in self._batches]
            count = recorded_together(sizes, one_by_one=one_by_one)
            self._file(list(itertools.islice(self._batches, count)), queue)
            self._recording_s = time.monotonic() - began

    def close(self) -> None:
        """Drop the batches that are not recorded: the next start finds their files in the inbox."""
        close_files(self._batches)
        self._batches.clear()

    def _file(self, batches: list[Batch], queue: int) -> None:
        """Record some batches, move their files, mark their rows, and close the files."""
        being_written = self._unfinished.being_written(batches)
        final = [
            replace(
                batch,
                judged=tuple(
                    each
                    for each in batch.judged
                    if not _is_unreadable(each) and each.opened.drop.path not in being_written
                ),
            )
            for batch in batches
        ]
        began = time.monotonic()
        recorded = record(self._ledger, self._folders, final, self._settings)
        pairs = [pair for some in recorded for pair in some]
        self.newly_recorded.extend(pairs)
        if pairs:
            self.counts.stages["record"].observe(time.monotonic() - began)
        try:
            for some in recorded:
                _log_attention([judged for _, judged in some])
            report = self._move(pairs) if pairs else MoveReport()
        finally:
            # They are recorded: a later turn moves what could not be moved now.
            for batch in batches:
                self._batches.popleft()
                self._release(batch, being_written)
        moved = set(report.filed)
        for batch, some in zip(batches, recorded, strict=True):
            filed = [judged for entry, judged in some if entry.id in moved]
            if filed:
                changed = [entry.id in report.changed for entry, _ in some if entry.id in moved]
                self.filed_at = datetime.now(UTC)
                self.counts.add(batch, filed, changed, self.filed_at)
                self._tell_filed(batch, filed, queue)

    def _move(self, pairs: Sequence[tuple[Entry, Judged]]) -> MoveReport:
        """Move the files recorded just now; their descriptors tell whether they have changed.

        The entries need not be read from the ledger again: a row that a command changes meanwhile
        is not marked.
        """
        began = time.monotonic()
        held = {entry.id: judged.opened.descriptor for entry, judged in pairs}
        options = MoveOptions(held, may_go_on=self._may_go_on)
        entries = [entry for entry, _ in pairs]
        report = file_entries(self._ledger, self._folders, self._settings.layout, entries, options)
        self.counts.stages["move"].observe(time.monotonic() - began)
        self._note(report, self.stuck, began)
        return report

    def _release(self, batch: Batch, being_written: set[bytes]) -> None:
        close_files([batch])
        for each in batch.judged:
            path = each.opened.drop.path
            is_drop = self._folders.outcome_of(path) is None  # else it keeps the row that it has
            if _is_unreadable(each) and isinstance(each.decoded, Refusal):
                name = escaping.escape(path)
                log.error("file.deferred", name=name, reason=each.decoded.detail)
                if is_drop:
                    self._inbox.skip(path, "unreadable")
            elif path in being_written and is_drop:
                self._inbox.skip(path, "being_written", WRITER_HINT)
            else:
                self._unfinished.forget(path)
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

    # ------------------------------------------------------------------ earlier recorded rows

    def file_pending(self, now_s: float) -> None:
        """Move the files that a crash or a command has left recorded; does so once a second.

        now_s: monotonic. Raises Trouble.
        """
        if now_s - self._pending_at_s < _PENDING_S:
            return
        is_first = self._pending_at_s == float("-inf")
        self._pending_at_s = now_s
        resting = {row for row in self.stuck if self._backoff.rests(row, now_s)}
        options = MoveOptions(resting=resting, may_go_on=self._may_go_on)
        report = file_pending(self._ledger, self._folders, self._settings.layout, options)
        self._note(report, {row: self.stuck[row] for row in resting}, now_s)
        if is_first:
            log.info("recovery.done", filed=len(report.filed), missing=len(report.missing))
        elif report.filed:
            log.info("batch.filed", files=len(report.filed))
        if report.restored:
            log.info("batch.restored", files=len(report.restored))
        if report.filed:
            self.filed_at = datetime.now(UTC)
            self.counts.filed.update(queries.outcomes_of(self._ledger, report.filed))

    def _note(self, report: MoveReport, others: Mapping[int, StuckFile], began_s: float) -> None:
        """Log each newly stuck file once, and let it back off.

        others: stuck files that were not tried in this round. began_s: when it began, monotonic.
        """
        for row, stuck in report.stuck.items():
            self._backoff.failed(row, began_s)
            if row not in self.stuck:
                log.error("file.deferred", name=escaping.escape(stuck.source), reason=stuck.why)
        self.stuck = {**others, **report.stuck}
        self._backoff.keep(set(self.stuck))
        self._progress.excuse(time.monotonic() - began_s)

    def _may_go_on(self) -> bool:
        """Feed the watchdog between two moves; return False `_STOP_S` after a signal to stop."""
        self._pause_state.say_alive()
        return time.monotonic() < self._pause_state.signals.stopped_at + _STOP_S


def _is_unreadable(judged: Judged) -> bool:
    return judged.decision.reason == "unreadable"


def _log_attention(batch: Sequence[Judged]) -> None:
    """Log what a person should look at: each rejected file, and how many are unsure and why."""
    unsure: Counter[str] = Counter()
    for judged in batch:
        name = escaping.escape(judged.opened.drop.path)
        if isinstance(judged.decoded, Refusal):
            log.warning("file.rejected", name=name, reason=judged.decoded.reason,
                        detail=judged.decoded.detail)  # fmt: skip
        elif judged.decision.outcome == "rejected":
            log.warning("file.rejected", name=name, reason=judged.decision.reason)
        elif judged.decision.outcome == "unsure":
            log.debug("file.unsure", name=name, reason=judged.decision.reason)
            unsure[str(judged.decision.reason)] += 1
    if unsure:
        log.info("batch.unsure", files=unsure.total(), **unsure)
