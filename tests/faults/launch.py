"""The tests' side of `crash_at`: plans, and the processes that follow them."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 180.0


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens to a run.

    at: one of `crash_at.POINTS`, or any `module:function`.
    nth: of its calls, from 1. until: the last call that is hit, by default the nth alone; None:
    every one from the nth on.
    do: in this order: a signal to itself (`SIGKILL`), an error (`EIO`), or `call("module:function",
    name=value)`.
    may_miss: whether the run may end before it happens, as in a sweep that counts further than the
    calls go; else the case fails where it has not happened.
    """

    at: str
    when: Literal["before", "after"] = "before"
    nth: int = 1
    do: tuple[Any, ...] = ("SIGKILL",)
    until: int | None = -1
    may_miss: bool = False

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "until": self.nth if self.until == -1 else self.until}

    def has_happened(self, hits: Sequence[str]) -> bool:
        """Whether it stands among the hits of a run."""
        return any(hit.startswith(f"{self.at} {self.when} ") for hit in hits)


def call(name: str, /, **given: Any) -> dict[str, Any]:
    """A call of `module:function` in the run's own process; what is given must be JSON."""
    return {"call": name, "given": given}


@dataclass(frozen=True, slots=True)
class Plan:
    """A command to run: `words` as on the command line, `before` called before it, in its process.

    engine: `stub` or `real`. fresh: in an interpreter of its own; words stand before its command
    line (`strace` and the like).
    """

    words: Sequence[str]
    folder: Path
    log: Path
    faults: Sequence[Fault] = ()
    before: Sequence[Mapping[str, Any]] = ()
    engine: Literal["stub", "real"] = "stub"
    environment: Mapping[str, str] = field(default_factory=dict)
    fresh: bool | Sequence[str] = False

    def plain(self) -> dict[str, Any]:
        return {
            "words": list(self.words),
            "folder": str(self.folder),
            "log": str(self.log),
            "answer": str(self.log.with_suffix(".out")),
            "told": str(self.log.with_suffix(".told")),
            "faults": [fault.plain() for fault in self.faults],
            "before": [(each["call"], each["given"]) for each in self.before],
            "engine": self.engine,
            "environment": dict(self.environment),
        }


class Run:
    """One process that follows a plan. status: its exit status, -n where signal n ended it."""

    def __init__(self, plan: Plan, pid: int, launcher: "Launcher",
                 process: "subprocess.Popen[bytes] | None" = None) -> None:  # fmt: skip
        self.plan = plan
        self.pid = pid
        self._launcher = launcher
        self._process = process

    @property
    def status(self) -> int | None:
        if self._process is not None:
            return self._process.poll()
        self._launcher.listen(0)
        return self._launcher.ended.get(self.pid)

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait for its end."""
        end = time.monotonic() + deadline_s
        while (status := self.status) is None:
            assert time.monotonic() < end, f"still runs after {deadline_s} s:\n{self.text()}"
            if self._process is None:
                self._launcher.listen(0.1)
            else:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.1)
        return status

    def ends_within(self, seconds: float) -> bool:
        """Give it so much time and no more."""
        end = time.monotonic() + seconds
        while self.status is None and (left := end - time.monotonic()) > 0:
            self._launcher.listen(min(left, 0.1))
        return self.status is not None

    def wait_until_stopped(self, deadline_s: float = DEADLINE_S) -> None:
        """Wait until a fault with SIGSTOP has hit it; `send(SIGCONT)` lets it go on."""
        end = time.monotonic() + deadline_s
        while not self.is_stopped:
            assert self.status is None, f"ended, not stopped:\n{self.text()}"
            assert time.monotonic() < end, f"not stopped within {deadline_s} s:\n{self.text()}"
            time.sleep(0.005)

    @property
    def is_stopped(self) -> bool:
        state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2]
        return state.startswith(("T", "t"))

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> int:
        self.send(signal.SIGKILL)
        return self.wait()

    def text(self) -> str:
        """All that it wrote to standard error."""
        return self.plan.log.read_text() if self.plan.log.exists() else ""

    def lines(self) -> list[str]:
        return self.text().splitlines()

    def answer(self) -> str:
        """All that it wrote to standard output."""
        return self.plan.log.with_suffix(".out").read_text()

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """What it has logged, all of it or one kind of event."""
        found = []
        for line in self.lines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [each for each in found if not name or each.get("event") == name]

    @property
    def hits(self) -> list[str]:
        """The faults that happened: `C7.move after 5`."""
        told = self.plan.log.with_suffix(".told")
        return told.read_text().splitlines() if told.exists() else []


class Launcher:
    """Starts runs, most of them forked from one process that has imported everything."""

    def __init__(self) -> None:
        self.ended: dict[int, int] = {}
        self._started: list[int] = []
        self._rest = b""
        self._fresh: list[subprocess.Popen[bytes]] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.crash_at", "--serve"],
            cwd=REPOSITORY, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def start(self, plan: Plan) -> Run:
        if plan.fresh:
            script = plan.log.with_suffix(".plan")
            script.write_text(json.dumps(plan.plain()))
            under = [] if plan.fresh is True else plan.fresh
            process = subprocess.Popen(
                [*under, sys.executable, "-m", "tests.faults.crash_at", script],
                cwd=REPOSITORY, env={**environment(), **plan.environment},
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            self._fresh.append(process)
            return Run(plan, process.pid, self, process)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(plan.plain()).encode() + b"\n")
        self._process.stdin.flush()
        while not self._started:
            self.listen(DEADLINE_S)
        return Run(plan, self._started.pop(), self)

    def listen(self, seconds: float) -> None:
        """Take in which runs have begun and ended."""
        stream = self._process.stdout
        assert stream is not None
        if not select.select([stream], [], [], seconds)[0]:
            return
        read = os.read(stream.fileno(), 1 << 16)
        assert read, "the process that forks the runs has ended"
        *lines, self._rest = (self._rest + read).split(b"\n")
        for line in lines:
            news = json.loads(line)
            if "started" in news:
                self._started.append(news["started"])
                self.ended.pop(news["started"], None)  # of an older process with this number
            else:
                self.ended[news["ended"]] = news["status"]

    @contextlib.contextmanager
    def ending(self) -> Iterator["Launcher"]:
        """End with everything that it started."""
        try:
            yield self
        finally:
            for process in (*self._fresh, self._process):
                process.kill()
                process.wait()


def environment() -> dict[str, str]:
    """Ours without the settings that a developer may have, with the tests in the module path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GDWATCH_")}
    return {**kept, "PYTHONPATH": str(REPOSITORY)}
