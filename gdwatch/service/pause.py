"""Where the service stands: what it says of itself, and how it waits for better times.

What may pass (a full disk, a folder that is not there, a locked database) makes it pause: it tries
again, more and more seldom, and needs nobody to go on.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import structlog

from gdwatch.backoff import Delay
from gdwatch.errors import Trouble
from gdwatch.files import standard_error
from gdwatch.root import status_file
from gdwatch.root.status_file import Status
from gdwatch.service import systemd
from gdwatch.service.signals import Signals

log = structlog.get_logger()

_DELAY = Delay(first_s=1.0, longest_s=30.0)
_LOG_S = 60.0
_EXTEND_EVERY_S = 5.0  # each time by a minute
_ONCE_PATIENCE_S = 30.0
_EVENTS = {"disk_low": "disk.low", "database_busy": "db.busy", "database_full": "db.full"}
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Pause:
    """A pause that lasts. Monotonic times; waited_s: before the last try, None before the first."""

    began: float
    logged_at: float = float("-inf")
    waited_s: float | None = None


class PauseState:
    """The state of one service.

    told: what `gdwatch status` reads.
    why: the message of the trouble that it waits for; empty if it does not pause.
    paused_s: seconds of all pauses so far, by reason; of the one under way up to its last try.
    alive_at_s: when it last said that it gets on, monotonic.
    ready: whether it has begun to serve.
    once: a pause lasts half a minute at the most.
    """

    def __init__(self, state: Path, signals: Signals, *, once: bool) -> None:
        self._state = state
        self.signals = signals
        self.once = once
        self._paused: _Pause | None = None
        self._pinged_at = float("-inf")
        self._extended_at = float("-inf")
        self.told = Status("stopped")
        self.ready = False
        self.why = ""
        self.paused_s: dict[str, float] = {}
        self._counted_at = 0.0
        self.alive_at_s = time.monotonic()

    @property
    def is_paused(self) -> bool:
        """Whether it waits for better times, the try that is under way included."""
        return self._paused is not None

    def tell(self, told: Status) -> None:
        """Say how it stands now; the model stays what it was where none is named."""
        self.told = replace(
            told, model=told.model or self.told.model, lines_dropped=standard_error.dropped()
        )
        with contextlib.suppress(OSError):  # a full disk is told by the log
            status_file.write(self._state, self.told)

    def pause(self, trouble: Trouble) -> None:
        """Wait for the surroundings to mend; say why at once, and then once a minute.

        Raises the trouble itself where patience is at its end.
        """
        now = time.monotonic()
        pause = self._paused or _Pause(began=now)
        self._count_pause(now)
        self.why = str(trouble)
        is_news = self.told.reason != trouble.reason
        if is_news:
            self.tell(Status("paused", trouble.reason, skipped=self.told.skipped))
        if is_news or now - pause.logged_at >= _LOG_S:
            pause = replace(pause, logged_at=now)
            if trouble.reason in _EVENTS:
                log.warning(_EVENTS[trouble.reason], reason=trouble.message)
            log.warning("service.paused", reason=trouble.reason, why=trouble.message,
                        hint=trouble.hint, since=self.told.since)  # fmt: skip
        if self.once and now - pause.began >= _ONCE_PATIENCE_S:
            raise trouble
        wait_s = _DELAY.after(pause.waited_s)
        # Before the wait: other threads ask whether it pauses.
        self._paused = replace(pause, waited_s=wait_s)
        self._sleep(wait_s)
        self._count_pause(time.monotonic())

    def resume(self) -> bool:
        """Say that it goes on; False if it did not pause."""
        if self._paused is None:
            return False
        now = time.monotonic()
        log.info("service.resumed", after_s=round(now - self._paused.began, 1))
        self._count_pause(now)
        self._paused = None
        self.why = ""
        self.tell(Status("running", skipped=self.told.skipped))
        return True

    def patiently(self, do: Callable[[], Result]) -> Result | None:
        """Do it, as soon as the surroundings allow; None if a signal has ended the wait."""
        while not self.signals.stop:
            try:
                result = do()
            except Trouble as trouble:
                self.pause(trouble)
                continue
            self.resume()
            return result
        return None

    def say_alive(self) -> None:
        """Tell systemd that all goes as it should, a pause included."""
        now, period_s = time.monotonic(), systemd.watchdog_s()
        self.alive_at_s = now
        if period_s and now - self._pinged_at >= period_s / 4:
            self._pinged_at = now
            systemd.tell("WATCHDOG=1")
        # Recovery, or a pause right at the start, may take its time.
        if not self.ready and now - self._extended_at >= _EXTEND_EVERY_S:
            self._extended_at = now
            systemd.tell("EXTEND_TIMEOUT_USEC=60000000")

    def _count_pause(self, now: float) -> None:
        if self._paused is not None and self.told.reason is not None:
            before_s = self.paused_s.get(self.told.reason, 0.0)
            self.paused_s[self.told.reason] = before_s + now - self._counted_at
        self._counted_at = now

    def _sleep(self, seconds: float) -> None:
        """Wait, alive for systemd and awake for signals."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self.signals.stop:
            self.say_alive()
            time.sleep(min(left, 0.2))
