"""The service: the loop that takes photographs from the inbox to their folders.

    inbox ─▶ read ─▶ pipeline ─▶ record (durable 1) ─▶ file (durable 2) ─▶ mark (durable 3)

One thread. It alone holds the root's lock and moves files; commands leave it their wishes as
recorded rows. What stands in its way and may pass (a disk, a folder, a locked database) makes it
pause and try again; what needs a person ends it.
"""

import contextlib
import gc
import itertools
import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import replace

import structlog

from gdwatch import __version__
from gdwatch.backoff import Backoff
from gdwatch.errors import ActionNeeded, Trouble
from gdwatch.files import escaping
from gdwatch.files.mounts import on_network
from gdwatch.filing.mover import MoveOptions, MoveReport, StuckFile, file_entries, file_pending
from gdwatch.filing.record import record
from gdwatch.intake.inbox import Inbox
from gdwatch.intake.opening import Skipped, open_drop
from gdwatch.intake.watcher import Watch
from gdwatch.ledger import opening
from gdwatch.ledger.ledger import Ledger
from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.root import lock, root_id
from gdwatch.root.folders import Folders
from gdwatch.root.handles import Handles
from gdwatch.root.status import Status
from gdwatch.service import systemd
from gdwatch.service.filer import TOGETHER, recorded_together
from gdwatch.service.pause import PauseState
from gdwatch.service.signals import handling_signals
from gdwatch.settings import MIB, Settings
from gdwatch.values import Batch, Drop, Entry, Judged, Opened, Refusal

log = structlog.get_logger()

_WISHES_S = 1.0
_SLOW_S = 1.0  # for one recording
_COMPANY_S = 0.1  # for which the first waits for others, while the engine judges on
_STALL_S = 300.0
_STOP_S = 20.0  # for moves under way; promised are 30 until the end


def run(settings: Settings, *, once: bool = False) -> int:
    """Serve until a signal ends it, or with `once` until the inbox of now is filed.

    Returns the exit status: 0, or 1 when `once` had to leave a file behind.

    Raises GdwatchError.
    """
    folders = Folders.of(settings)
    root_id.require_own(folders)
    root_id.make_state(folders, lambda: opening.has_rows(settings))
    with (
        lock.hold(folders.state),
        contextlib.closing(Watch(folders.inbox, settings.watch)) as watch,
        handling_signals(watch.bell()) as signals,
    ):
        uuid = root_id.prepare(folders)
        pause_state = PauseState(folders.state, signals, once=once)
        book = pause_state.patiently(lambda: opening.open_ledger(settings, uuid, serve=True))
        if book is None:
            return 0
        with _closing(book), contextlib.closing(Pipeline(settings)) as pipeline:
            # What has been loaded stays, and need not be looked through for garbage each time;
            # hardly anything that a photograph leaves behind is a circle.
            gc.freeze()
            gc.set_threshold(10_000)
            return _Service(settings, folders, book, pipeline, watch, pause_state).serve()


@contextlib.contextmanager
def _closing(book: Ledger) -> Iterator[None]:
    try:
        yield
    finally:
        book.close(last=True)


class _Service:
    """One run of the service. Everything it holds was opened, and is closed, by `run`."""

    def __init__(
        self,
        settings: Settings,
        folders: Folders,
        book: Ledger,
        pipeline: Pipeline,
        watch: Watch,
        pause_state: PauseState,
    ) -> None:
        self._settings = settings
        self._folders = folders
        self._book = book
        self._pipeline = pipeline
        self._watch = watch
        self._pause_state = pause_state
        self._signals = pause_state.signals
        self._once = pause_state.once
        shared = on_network(folders.inbox)
        self._inbox = Inbox(folders, settings, once=self._once, shared=shared)
        self._unrecorded: deque[Batch] = deque()
        self._decided_at = float("-inf")  # the first of them
        self._recording_s = float("inf")  # what the last recording took; the first is a small one
        self._listed_at = time.monotonic()
        self._wishes_at = float("-inf")
        self._root_id = root_id.read_id(folders)
        self._root_at = float("-inf")
        self._free_at = float("-inf")
        self._progress_at = time.monotonic()
        self._sha256 = ""
        self._stuck: dict[int, StuckFile] = {}  # recorded, but cannot be moved now; by row id
        self._tries = Backoff[int]()

    def serve(self) -> int:
        log.info("service.started", version=__version__, root=escaping.escape(self._folders.root))
        self._pipeline.wake_by(self._watch.waker.fileno())
        self._pause_state.tell(Status("running"))
        try:
            self._loop()
            self._finish_decided()
        except Trouble as trouble:
            if not self._signals.stop:
                raise
            # Nothing is lost: what is recorded the next start files, the rest lies in the inbox.
            log.warning("batch.retried", reason=trouble.message)
        finally:
            systemd.tell("STOPPING=1")
            self._release_unrecorded()
            self._pause_state.tell(Status("stopped", skipped=self._pause_state.told.skipped))
        log.info("service.stopped")
        return 1 if self._left_behind() else 0

    def _loop(self) -> None:
        while not self._signals.stop:
            try:
                self._turn()
            except Trouble as trouble:
                self._watch.stop()  # so that its disk can be unmounted
                self._inbox.let_go()
                self._pause_state.pause(trouble)
                continue
            if self._pause_state.resume():
                self._progress_at = time.monotonic()
                self._watch.retry()
                self._inbox.rescan()
            if self._once and self._has_finished():
                return

    def _turn(self) -> None:
        """Do what there is to do now; wait a little where that is nothing."""
        now = time.monotonic()
        self._reload_if_asked()
        self._require_root(now)
        self._require_free_space(now)
        if not self._company_s(now):
            self._finish_decided()
        self._grant_wishes(now)
        self._listen(now)
        self._take(now)
        for batch in self._pipeline.turn(self._patience(now)):
            self._progress_at = time.monotonic()
            if not self._unrecorded:
                self._decided_at = self._progress_at
            self._unrecorded.append(batch)
        self._watch.clear()
        self._tell_skipped()
        self._say_ready()
        self._ping()

    # ------------------------------------------------------------------ from the inbox

    def _listen(self, now: float) -> None:
        if not self._once and not self._pause_state.is_paused:
            self._watch.keep()
        if self._watch.overflowed:
            self._watch.overflowed = False
            log.warning("watch.overflow")
        if not self._once and (
            self._watch.changed
            or now - self._listed_at >= self._watch.rescan_s(self._settings.rescan_s)
        ):
            self._watch.changed = False
            self._listed_at = now
            self._inbox.rescan()
        while self._watch.arrivals:
            self._inbox.arrived(self._watch.arrivals.popleft())

    def _take(self, now: float) -> None:
        drops = deque(self._inbox.ready(self._pipeline.room, now))
        stuck = {each.source: each.why for each in self._stuck.values()} if drops else {}
        try:
            with Handles(self._folders) as handles:
                while drops:
                    if drops[0].path in stuck:
                        self._inbox.skip(drops[0].path, "stuck", stuck[drops[0].path])
                    else:
                        self._open(drops[0], handles)
                    drops.popleft()
        finally:
            for drop in drops:  # nobody opens these now, so the next listing must find them
                self._inbox.release(drop.path)
                self._inbox.rescan()

    def _open(self, drop: Drop, handles: Handles) -> None:
        match open_drop(drop, handles):
            case Opened() as opened:
                self._pipeline.offer(opened)
            case Skipped(reason="permission" | "unreadable" as reason, hint=hint):
                self._inbox.skip(drop.path, reason, hint)
            case Skipped(reason):
                self._inbox.release(drop.path)
                self._inbox.rescan()
                log.debug("file.vanished", name=escaping.escape(drop.path), reason=reason)

    # ------------------------------------------------------------------ to the folders

    def _finish_decided(self) -> None:
        if self._unrecorded:
            self._inbox.require_usable()
        while self._unrecorded and self._may_go_on():
            began = time.monotonic()
            # Where it takes long, a stop and systemd would have to wait for it.
            is_slow = (
                self._recording_s > _SLOW_S or self._pause_state.is_paused or self._signals.stop
            )
            sizes = [len(each.judged) for each in self._unrecorded]
            count = recorded_together(sizes, one_by_one=is_slow)
            self._finish(list(itertools.islice(self._unrecorded, count)))
            self._recording_s = time.monotonic() - began

    def _finish(self, batches: list[Batch]) -> None:
        """Record some batches, move their files, mark their rows, and let the files go."""
        readable = [
            replace(batch, judged=tuple(each for each in batch.judged if not _is_unreadable(each)))
            for batch in batches
        ]
        recorded = record(self._book, self._folders, readable, self._settings)
        pairs = [pair for some in recorded for pair in some]
        try:
            for _, judged in pairs:
                _name_attention(judged)
            ended = self._move(pairs) if pairs else MoveReport()
        finally:
            # Recorded is recorded: what could not be moved now is moved by a later turn.
            for batch in batches:
                self._unrecorded.popleft()
                for each in batch.judged:
                    self._let_go(each)
        moved = set(ended.filed)
        for batch, some in zip(batches, recorded, strict=True):
            filed = [judged for entry, judged in some if entry.id in moved]
            if filed:
                self._report(batch, filed)

    def _let_go(self, judged: Judged) -> None:
        os.close(judged.opened.descriptor)
        path = judged.opened.drop.path
        if _is_unreadable(judged) and isinstance(judged.decoded, Refusal):
            log.error("file.deferred", name=escaping.escape(path), reason=judged.decoded.detail)
            self._inbox.skip(path, "unreadable")
        else:
            self._inbox.release(path)

    def _report(self, batch: Batch, judged: list[Judged]) -> None:
        outcomes = Counter(str(each.decision.outcome) for each in judged)
        log.info(
            "batch.filed",
            files=len(judged),
            **dict(outcomes),
            decode_ms=round(sum(each.decoded.decode_ms for each in judged), 1),
            infer_ms=round(batch.infer_ms, 1),
            queue=self._pipeline.outstanding + sum(len(each.judged) for each in self._unrecorded),
        )

    def _grant_wishes(self, now: float) -> None:
        """File what a crash or a command has left recorded."""
        if now - self._wishes_at < _WISHES_S:
            return
        is_first = self._wishes_at == float("-inf")
        self._wishes_at = now
        resting = {row for row in self._stuck if self._tries.rests(row, now)}
        options = MoveOptions(resting=resting, may_go_on=self._may_go_on)
        ended = file_pending(self._book, self._folders, self._settings.layout, options)
        self._note(ended, {row: self._stuck[row] for row in resting}, now)
        if is_first:
            log.info("recovery.done", filed=len(ended.filed), missing=len(ended.missing))
        elif ended.filed:
            log.info("batch.filed", files=len(ended.filed))

    def _move(self, entries: list[tuple[Entry, Judged]]) -> MoveReport:
        """Move what was recorded just now, by the descriptors through which it was judged.

        It need not be asked of the ledger: a row that a command changes meanwhile is not marked.
        """
        now = time.monotonic()
        held = {entry.id: judged.opened.descriptor for entry, judged in entries}
        options = MoveOptions(held, may_go_on=self._may_go_on)
        news = [entry for entry, _ in entries]
        ended = file_entries(self._book, self._folders, self._settings.layout, news, options)
        self._note(ended, self._stuck, now)
        return ended

    def _note(self, ended: MoveReport, others: Mapping[int, StuckFile], began: float) -> None:
        """Name what cannot be moved now, once; it rests, as `others` do."""
        for row, stuck in ended.stuck.items():
            self._tries.failed(row, began)
            if row not in self._stuck:
                log.error("file.deferred", name=escaping.escape(stuck.source), reason=stuck.why)
        self._stuck = {**others, **ended.stuck}
        self._tries.keep(set(self._stuck))
        self._progress_at += time.monotonic() - began  # photographs got no chance to get on

    def _may_go_on(self) -> bool:
        """Stay alive for systemd between two moves; a stop waits for them, but not for ever."""
        self._pause_state.say_alive()
        return time.monotonic() < self._signals.stopped_at + _STOP_S

    # ------------------------------------------------------------------ its own state

    def _require_root(self, now: float) -> None:
        """Look for the mark of the root: where a disk is not mounted, nothing is to be made."""
        if now - self._root_at < _WISHES_S:
            return
        try:
            found = root_id.read_id(self._folders)
        except ActionNeeded as error:
            raise Trouble("root_missing", error.message, "put it back, or mount it") from error
        if found != self._root_id:
            raise ActionNeeded(
                f"{escaping.escape(self._folders.root)}: became another root, {found}",
                "is the right disk mounted? put it back and start again",
            )
        self._root_at = now

    def _require_free_space(self, now: float) -> None:
        if now - self._free_at < _WISHES_S:
            return
        try:
            free_mb = shutil.disk_usage(self._folders.root).free // MIB
        except OSError as error:
            name, why = escaping.escape(self._folders.root), (error.strerror or "").lower()
            raise Trouble("root_missing", f"{name}: {why}", "put it back, or mount it") from error
        if free_mb < self._settings.min_free_mb:
            raise Trouble(
                "disk_low",
                f"{escaping.escape(self._folders.root)}: {free_mb} MiB are free, "
                f"min_free_mb is {self._settings.min_free_mb}",
                "make room; work goes on by itself",
            )
        self._free_at = now

    def _reload_if_asked(self) -> None:
        if self._signals.reload:
            self._signals.reload = False
            self._pipeline.reload()

    def _patience(self, now: float) -> float:
        if self._signals.stop or (self._once and self._has_finished()):
            return 0.0
        longest_s = self._company_s(now) if self._unrecorded else _WISHES_S
        if self._pipeline.room == 0:
            return longest_s
        return min(longest_s, self._inbox.next_look_s(now))

    def _company_s(self, now: float) -> float:
        """How long what is decided may wait to be recorded with more."""
        if len(self._unrecorded) >= TOGETHER or not self._pipeline.is_judging:
            return 0.0
        return max(0.0, self._decided_at + _COMPANY_S - now)

    def _say_ready(self) -> None:
        if self._pipeline.ready and not self._pause_state.ready:
            self._pause_state.ready = True
            log.info("service.ready")
            systemd.tell("READY=1")
        serving = self._pipeline.model
        if self._pause_state.ready and self._sha256 != serving.sha256:
            self._sha256 = serving.sha256
            log.info("model.loaded", model=serving.name, version=serving.version,
                     sha256=serving.sha256, device=self._pipeline.device)  # fmt: skip
            told = replace(self._pause_state.told, model=f"{serving.name} {serving.version}")
            self._pause_state.tell(told)

    def _ping(self) -> None:
        """Tell systemd that photographs get on, not merely that this loop turns."""
        now = time.monotonic()
        if self._pipeline.outstanding == 0:
            self._progress_at = now
        if now - self._progress_at <= _STALL_S:
            self._pause_state.say_alive()

    def _tell_skipped(self) -> None:
        told = self._pause_state.told
        if not self._inbox.newly_skipped and len(self._inbox.skipped) == len(told.skipped):
            return
        for path, reason, hint in self._inbox.newly_skipped:
            log.warning("inbox.skipped", name=escaping.escape(path), reason=reason, hint=hint)
        self._inbox.newly_skipped.clear()
        skipped = {escaping.escape(path): why for path, why in self._inbox.skipped.items()}
        self._pause_state.tell(replace(told, skipped=skipped))

    def _has_finished(self) -> bool:
        return self._inbox.exhausted and self._pipeline.outstanding == 0 and not self._unrecorded

    def _left_behind(self) -> bool:
        stayed = [why for why in self._inbox.skipped.values() if why in _FILES_THAT_STAY]
        return self._once and bool(stayed or self._inbox.stayed or self._stuck)

    def _release_unrecorded(self) -> None:
        for batch in self._unrecorded:
            for each in batch.judged:
                os.close(each.opened.descriptor)


_FILES_THAT_STAY = ("permission", "unreadable", "too_deep")


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
