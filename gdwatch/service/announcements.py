"""What a service says of itself: to systemd, in its status file, in the log, on the terminal."""

from dataclasses import replace

import structlog

from gdwatch.files import escaping, standard_error
from gdwatch.service import systemd
from gdwatch.service.hooks import Hooks
from gdwatch.service.observed import Observed, Parts
from gdwatch.service.progress import Progress
from gdwatch.service.terminal import Terminal

log = structlog.get_logger()


class Announcements:
    """The news of one service; each is told once."""

    def __init__(
        self,
        observed: Observed,
        parts: Parts,
        progress: Progress,
        hooks: Hooks,
        terminal: Terminal,
    ) -> None:
        self._watch = observed.watch
        self._pause_state = observed.pause_state
        self._parts = parts
        self._progress = progress
        self._hooks = hooks
        self._terminal = terminal
        self._sha256 = ""  # of the last model that was logged

    def tell(self, now_s: float) -> None:
        """Tell what is new since the last call. now_s: monotonic."""
        self.tell_filed(now_s)
        self._tell_skipped()
        self._tell_limit()
        self._tell_dropped()
        self._say_ready()
        self._ping()

    def tell_filed(self, now_s: float) -> None:
        """Tell the hooks and the terminal which decisions are newly recorded."""
        newly = self._parts.filer.newly_recorded
        if newly:
            self._hooks.note(newly)
            self._terminal.note((judged.decision.outcome for _, judged in newly), now_s)
            newly.clear()
        elif self._parts.pipeline.outstanding == 0 and not self._parts.filer.waiting:
            self._terminal.sum_up_when_idle(now_s)

    def _tell_skipped(self) -> None:
        inbox, told = self._parts.inbox, self._pause_state.told
        if not inbox.newly_skipped and len(inbox.skipped) == len(told.skipped):
            return
        for path, reason, hint in inbox.newly_skipped:
            log.warning("inbox.skipped", name=escaping.escape(path), reason=reason, hint=hint)
        inbox.newly_skipped.clear()
        skipped = {escaping.escape(path): why for path, why in inbox.skipped.items()}
        self._pause_state.tell(replace(told, skipped=skipped))

    def _tell_limit(self) -> None:
        remedy = self._watch.remedy()
        if remedy != self._pause_state.told.watch_remedy:
            unwatched = self._watch.unwatched
            told = replace(self._pause_state.told, unwatched=unwatched, watch_remedy=remedy)
            self._pause_state.tell(told)

    def _tell_dropped(self) -> None:
        if standard_error.dropped() != self._pause_state.told.lines_dropped:
            self._pause_state.tell(self._pause_state.told)

    def _say_ready(self) -> None:
        pipeline = self._parts.pipeline
        if not pipeline.ready:
            return
        serving = pipeline.model
        if self._sha256 != serving.sha256:
            self._sha256 = serving.sha256
            log.info("model.loaded", model=serving.name, version=serving.version,
                     sha256=serving.sha256, device=pipeline.device)  # fmt: skip
            told = replace(self._pause_state.told, model=f"{serving.name} {serving.version}")
            self._pause_state.tell(told)
        if not self._pause_state.ready:
            self._pause_state.ready = True
            log.info("service.ready")
            systemd.tell("READY=1")

    def _ping(self) -> None:
        """Feed systemd's watchdog, but only while photographs make progress, not just the loop."""
        if self._parts.pipeline.outstanding == 0:
            self._progress.made()
        if not self._progress.is_stalled():
            self._pause_state.say_alive()
