"""The service: the loop that takes photographs from the inbox to their folders.

    inbox ─▶ open ─▶ pipeline ─▶ filer (record, move, mark)

One thread. The service alone holds the root's lock and moves files; commands request moves by
setting rows to `recorded`. An obstacle that may pass (a disk, a folder, a locked database) makes
the service pause and try again; one that needs a person ends it.
"""

import contextlib
import gc
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

import structlog

from gdwatch import __version__
from gdwatch.errors import Trouble
from gdwatch.files import escaping
from gdwatch.files.users import own_name
from gdwatch.filing.linking import require_links
from gdwatch.intake.answer_watch import AnswerWatch
from gdwatch.intake.inbox import Inbox
from gdwatch.intake.opening import Skipped, open_drop
from gdwatch.intake.watcher import Watch
from gdwatch.ledger import opening, originals
from gdwatch.ledger.ledger import Command, Ledger
from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.root import lock, root_id
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.root.status_file import Status
from gdwatch.service import capabilities, metrics_server, systemd
from gdwatch.service.announcements import Announcements
from gdwatch.service.completed_files import CompletedFiles
from gdwatch.service.conditions import Conditions
from gdwatch.service.filer import Filer
from gdwatch.service.hand_moves import HandMoves
from gdwatch.service.hooks import Hooks
from gdwatch.service.observed import Observed, Parts
from gdwatch.service.page import Page
from gdwatch.service.pause import PauseState
from gdwatch.service.progress import Progress
from gdwatch.service.signals import handling_signals
from gdwatch.service.terminal import Terminal
from gdwatch.settings import Settings
from gdwatch.values import Drop, Opened

log = structlog.get_logger()

_LONGEST_TURN_S = 1.0  # so that commands' move requests are found this often
_FILES_THAT_STAY = ("permission", "unreadable", "too_deep", "being_written")


def run(
    settings: Settings, *, once: bool = False, call: Callable[[str], str] = "gdwatch {}".format
) -> int:
    """Serve until a signal ends it, or with `once` until the inbox of now is filed.

    call: as `Terminal` wants it.

    Returns the exit status: 0, or 1 when `once` had to leave a file behind.

    Raises GdwatchError.
    """
    capabilities.keep_from_children()
    folders = Folders.of(settings)
    terminal = Terminal(folders, settings, sys.stderr, call)
    root_id.require_own(folders)
    root_id.make_state(folders, lambda: opening.has_rows(settings))
    with (
        lock.hold(folders.state),
        contextlib.closing(Watch(folders.inbox, settings.watch)) as watch,
        handling_signals(watch.bell()) as signals,
    ):
        uuid = root_id.prepare(folders, settings.mode)
        if settings.mode == "link":
            require_links(folders)
        if not once:
            terminal.welcome()
        pause_state = PauseState(folders.state, signals, once=once)
        observed = Observed(settings, folders, watch, pause_state)
        metrics_server.start(settings, observed)
        return _serve(observed, uuid, terminal)


def _serve(observed: Observed, uuid: str, terminal: Terminal) -> int:
    """Open the ledger, start the pipeline, and serve. Raises GdwatchError."""
    settings, pause_state = observed.settings, observed.pause_state
    ledger = pause_state.patiently(
        lambda: opening.open_ledger(settings, uuid, Command("run", "", own_name()), serve=True)
    )
    if ledger is None:
        return 0
    with _closing(ledger), contextlib.closing(Pipeline(settings)) as pipeline:
        # What has been loaded stays, and need not be looked through for garbage each time;
        # hardly anything that a photograph leaves behind is a circle.
        gc.freeze()
        gc.set_threshold(10_000)
        return _Service(observed, ledger, pipeline, terminal).serve()


@contextlib.contextmanager
def _closing(ledger: Ledger) -> Iterator[None]:
    try:
        yield
    finally:
        ledger.close(last=True)


class _Service:
    """One run of the service. `run` opens what it is given, and closes it."""

    def __init__(
        self, observed: Observed, ledger: Ledger, pipeline: Pipeline, terminal: Terminal
    ) -> None:
        settings, folders = observed.settings, observed.folders
        watch, pause_state = observed.watch, observed.pause_state
        self._answers = AnswerWatch(folders.answers, watch.wake)
        self._completed = CompletedFiles(settings, folders, ledger, once=pause_state.once)
        self._hand_moves = HandMoves(settings, folders, ledger, self._answers, self._completed)
        self._settings = settings
        self._folders = folders
        self._pipeline = pipeline
        self._watch = watch
        self._pause_state = pause_state
        self._terminal = terminal
        self._signals = pause_state.signals
        self._once = pause_state.once
        self._inbox = Inbox(
            folders, settings, once=self._once, originals=partial(originals.unchanged, ledger)
        )
        self._progress = Progress()
        self._filer = Filer(settings, folders, ledger, self._inbox, pause_state, self._progress)
        self._conditions = Conditions(folders, settings)
        self._hooks = Hooks(settings, folders)
        self._page = Page(settings)
        observed.parts = Parts(self._inbox, pipeline, self._filer, self._conditions)
        self._announcements = Announcements(
            observed, observed.parts, self._progress, self._hooks, terminal
        )
        self._listed_at = time.monotonic()

    def serve(self) -> int:
        log.info("service.started", version=__version__, root=escaping.escape(self._folders.root))
        self._pipeline.wake_by(self._watch.waker.fileno())
        self._pause_state.tell(Status("running"))
        try:
            self._loop()
            self._filer.file(self._pipeline.outstanding)
            self._announcements.tell_filed(time.monotonic())
            self._terminal.sum_up()
        except Trouble as trouble:
            if not self._signals.stop:
                raise
            # Nothing is lost: the next start files what is recorded, the rest is in the inbox.
            log.warning("batch.retried", reason=trouble.message)
        finally:
            systemd.tell("STOPPING=1")
            # A single run has no later turn for the hooks.
            is_single = self._once and not self._signals.stop
            self._hooks.close(patience_s=self._settings.hook_timeout_s if is_single else 0.0)
            self._page.close()
            self._answers.close()
            self._filer.close()
            self._pause_state.tell(Status("stopped", skipped=self._pause_state.told.skipped))
        log.info("service.stopped")
        return 1 if self._left_behind() else 0

    def _loop(self) -> None:
        while not self._signals.stop:
            if not self._once:
                self._page.look(time.monotonic())
            try:
                self._turn()
            except Trouble as trouble:
                self._watch.stop()  # so that the inbox's disk can be unmounted
                self._answers.close()
                self._inbox.let_go()
                if not self._pause_state.is_paused:
                    self._hooks.note_pause(trouble.reason, str(trouble))
                self._hooks.look(time.monotonic())
                self._pause_state.pause(trouble)
                continue
            if self._pause_state.resume():
                self._progress.made()
                self._watch.retry()
                self._inbox.rescan()
            if self._once and self._has_finished():
                return

    def _turn(self) -> None:
        """Do all work that is due; if there is none, wait for news for a while."""
        now = time.monotonic()
        self._reload_if_asked()
        self._conditions.require(now)
        if not self._record_wait_s(now):
            self._filer.file(self._pipeline.outstanding)
        self._filer.file_pending(now)
        if self._once:
            self._completed.list_once(now)
        else:
            self._hand_moves.look(now)
        self._listen(now)
        self._take(now)
        self._take_completed(now)
        for batch in self._pipeline.turn(self._patience_s(now)):
            self._progress.made()
            self._filer.take(batch)
        self._watch.clear()
        self._announcements.tell(now)
        self._hooks.look(now)

    # ------------------------------------------------------------------ from the inbox

    def _listen(self, now: float) -> None:
        if not self._once and not self._pause_state.is_paused:
            self._watch.keep()
            # The kernel watches only so many folders: those of the inbox come first.
            if not self._watch.is_starting:
                self._answers.start()
        if self._watch.overflowed:
            self._watch.overflowed = False
            log.warning("watch.overflow")
        if not self._once and (
            self._watch.changed
            or now - self._listed_at
            >= self._watch.rescan_s(self._settings.rescan_s, self._inbox.listing_s)
        ):
            self._watch.changed = False
            self._listed_at = now
            self._inbox.rescan()
        while self._watch.arrivals:
            self._inbox.arrived(self._watch.arrivals.popleft())

    def _take(self, now: float) -> None:
        drops = deque(self._inbox.ready(self._pipeline.room, now))
        stuck = {each.source: each.why for each in self._filer.stuck.values()} if drops else {}
        try:
            with Handles(self._folders) as handles:
                while drops:
                    if drops[0].path in stuck:
                        self._inbox.skip(drops[0].path, "stuck", stuck[drops[0].path])
                    else:
                        self._open(drops[0], handles)
                    drops.popleft()
        finally:
            for drop in drops:  # not opened, so the next listing must find them
                self._inbox.release(drop.path)
                self._inbox.rescan()

    def _open(self, drop: Drop, handles: Handles) -> None:
        match open_drop(drop, handles, self._settings.mode):
            case Opened() as opened:
                self._pipeline.offer(opened)
            case Skipped(reason="permission" | "unreadable" as reason, hint=hint):
                self._inbox.skip(drop.path, reason, hint)
            case Skipped(reason):
                self._inbox.release(drop.path)
                self._inbox.rescan()
                log.debug("file.vanished", name=escaping.escape(drop.path), reason=reason)

    def _take_completed(self, now: float) -> None:
        drops = self._completed.ready(self._pipeline.room, now)
        if not drops:
            return
        with Handles(self._folders) as handles:
            for drop in drops:
                opened = open_drop(drop, handles)
                if isinstance(opened, Opened):  # else the next listing looks at it again
                    self._pipeline.offer(opened)

    # ------------------------------------------------------------------ the service's state

    def _reload_if_asked(self) -> None:
        if self._signals.reload:
            self._signals.reload = False
            self._pipeline.reload()

    def _patience_s(self, now: float) -> float:
        """Return how long the pipeline may wait for news. now: monotonic."""
        if self._signals.stop or (self._once and self._has_finished()):
            return 0.0
        longest_s = self._record_wait_s(now) if self._filer.waiting else _LONGEST_TURN_S
        if self._pipeline.room == 0:
            return longest_s
        return min(longest_s, self._inbox.next_look_s(now))

    def _record_wait_s(self, now: float) -> float:
        return self._filer.wait_s(now, is_judging=self._pipeline.is_judging)

    def _has_finished(self) -> bool:
        idle = self._inbox.exhausted and self._pipeline.outstanding == 0
        return idle and not self._filer.waiting and not self._completed.waiting

    def _left_behind(self) -> bool:
        stayed = [why for why in self._inbox.skipped.values() if why in _FILES_THAT_STAY]
        return self._once and bool(stayed or self._inbox.given_up or self._filer.stuck)
