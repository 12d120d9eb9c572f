"""Hooks: commands that the service starts when there is news, and then leaves to themselves.

A hook is a list of words, started without a shell in a session of its own. One runs at a time, for
`hook_timeout_s` at most; what happens meanwhile is told to the next one. Nothing waits for a hook,
and one that is missing, fails or hangs costs a line of the log.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import structlog

from gdwatch.files import escaping
from gdwatch.root.folders import Folders
from gdwatch.settings import PREFIX, Settings
from gdwatch.values import Entry, Judged

log = structlog.get_logger()

Name = Literal["on_rejected", "on_unsure", "on_paused", "daily"]
NAMES: tuple[Name, ...] = ("on_rejected", "on_unsure", "on_paused", "daily")
_DAY = "daily"  # in ROOT/.gdwatch: the day that the hook `daily` was last started for
_MOST_FILES = 500  # named to one hook: the environment has little room
_MOST_BYTES = 64 * 1024
_LOOK_S = 1.0
_END_S = 0.1


@dataclass(frozen=True, slots=True)
class _Running:
    name: Name
    process: subprocess.Popen[bytes]
    began_s: float


@dataclass(slots=True)
class _News:
    """What the next run of a hook is told. files: path, reason and id of the first of them."""

    count: int = 0
    files: list[tuple[str, str, int]] = field(default_factory=list)
    others: dict[str, str] = field(default_factory=dict)


class Hooks:
    """The hooks of one service. All times are in seconds, monotonic."""

    def __init__(
        self,
        settings: Settings,
        folders: Folders,
        today: Callable[[], str] = lambda: datetime.now().astimezone().date().isoformat(),
    ) -> None:
        self._commands = {name: words for name in NAMES if (words := getattr(settings, name))}
        self._timeout_s = settings.hook_timeout_s
        self._folders = folders
        self._today = today
        self._news: dict[Name, _News] = {}
        self._running: _Running | None = None
        self._looked_at_s = float("-inf")

    def note(self, recorded: Iterable[tuple[Entry, Judged]]) -> None:
        """Note decided photographs with their rows, for `on_rejected` and `on_unsure`."""
        for entry, judged in recorded:
            match judged.decision.outcome:
                case "rejected":
                    self._add("on_rejected", entry, judged)
                case "unsure":
                    self._add("on_unsure", entry, judged)

    def note_pause(self, reason: str, why: str) -> None:
        """Note a pause that has begun, for `on_paused`."""
        if "on_paused" in self._commands:
            self._news["on_paused"] = _News(others={"HOOK_REASON": reason, "HOOK_WHY": why})

    def look(self, now_s: float) -> None:
        """End the hook that has run for too long, and start the next one that is due."""
        if not self._commands or now_s - self._looked_at_s < _LOOK_S:
            return
        self._looked_at_s = now_s
        self._note_day()
        if self._running is not None:
            self._reap(self._running, now_s)
        while self._running is None and self._news:
            name = next(iter(self._news))
            self._start(name, self._news.pop(name), now_s)

    def close(self, *, patience_s: float = 0.0) -> None:
        """End the hook that still runs. patience_s: let all that are due run, for so long."""
        end_s = time.monotonic() + patience_s
        while (now_s := time.monotonic()) < end_s and (self._running or self._news):
            self._looked_at_s = float("-inf")
            self.look(now_s)
            if self._running is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._running.process.wait(min(0.2, max(0.0, end_s - now_s)))
        if self._running is not None and self._running.process.poll() is None:
            self._kill(self._running, "the service stops")

    def _add(self, name: Name, entry: Entry, judged: Judged) -> None:
        if name not in self._commands:
            return
        news = self._news.setdefault(name, _News())
        news.count += 1
        if len(news.files) < _MOST_FILES:
            path = escaping.relative_text(entry.target, self._folders.root)
            news.files.append((path, str(judged.decision.reason), entry.id))

    def _note_day(self) -> None:
        """Note a new day for `daily`; its first start only begins to count."""
        if "daily" not in self._commands or "daily" in self._news:
            return
        file, today = self._folders.state / _DAY, self._today()
        try:
            last = file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            last = ""
        if last == today:
            return
        try:
            file.write_text(f"{today}\n", encoding="ascii")
        except OSError:  # a full disk: else it would be started again and again
            return
        if last:
            self._news["daily"] = _News(others={"HOOK_SINCE": last, "HOOK_UNTIL": today})

    def _start(self, name: Name, news: _News, now_s: float) -> None:
        words = self._commands[name]
        try:
            process = subprocess.Popen(
                words,
                env=self._environment(name, news),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in a word
            why = (getattr(error, "strerror", None) or str(error)).lower()
            log.warning("hook.failed", hook=name, command=words[0], reason=why)
            return
        self._running = _Running(name, process, now_s)
        log.debug("hook.started", hook=name, pid=process.pid, files=news.count)

    def _environment(self, name: Name, news: _News) -> dict[str, str]:
        """Ours, with what the hook is told; commands of gdwatch in it work on this root."""
        files, room = [], _MOST_BYTES
        for each in news.files:
            room -= len(each[0].encode("utf-8", "surrogateescape"))
            if room < 0:
                break
            files.append(each)
        kept = {
            key: value
            for key, value in os.environ.items()
            if key not in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
        }
        return {
            **kept,
            f"{PREFIX}ROOT": os.fsdecode(self._folders.root),
            "HOOK": name,
            "HOOK_COUNT": str(news.count),
            "HOOK_FILES": "\n".join(path for path, _, _ in files),
            "HOOK_REASONS": "\n".join(reason for _, reason, _ in files),
            "HOOK_IDS": "\n".join(str(row) for _, _, row in files),
            **news.others,
        }

    def _reap(self, running: _Running, now_s: float) -> None:
        status = running.process.poll()
        if status is None:
            if now_s - running.began_s > self._timeout_s:
                self._kill(running, f"it ran for more than hook_timeout_s {self._timeout_s:g}")
            return
        self._running = None
        if status:
            how = f"exit status {status}" if status > 0 else f"signal {-status}"
            log.warning("hook.failed", hook=running.name, command=self._commands[running.name][0],
                        reason=how)  # fmt: skip

    def _kill(self, running: _Running, why: str) -> None:
        """End a hook with all that it has started in its session's process group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # what the kernel holds up ends later
            running.process.wait(_END_S)
        self._running = None
        log.warning("hook.failed", hook=running.name, command=self._commands[running.name][0],
                    reason=why)  # fmt: skip
