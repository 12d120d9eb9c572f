"""`gdwatch run` as a user starts it, and what its log and the kernel say of it."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gdwatch.inference import model_file
from gdwatch.inference.model_file import layout
from gdwatch.pipeline.capacity import Capacity
from gdwatch.settings import Settings

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """At one moment, the seconds of processor time so far, by the module that a process runs."""

    at: float
    cpu_s: Mapping[str, float]
    pss_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the service over an inbox.

    started_at: seconds since 1970. ready_s: from then until `service.ready`.
    ended_at: when the last file was filed, seconds since 1970.
    filing_s: from ready until then, and what the workers had done before, see `shared_out`.
    cpu_ms: of that time, by process, of one file.
    """

    files: int
    batches: int
    started_at: float
    ready_s: float
    ended_at: float
    filing_s: float
    cpu_ms: Mapping[str, float]
    pss_mb: Sequence[float]

    @property
    def ms(self) -> float:
        """Wall, of one file."""
        return self.filing_s * 1000 / self.files


class Service:
    """A running service, logging to a file."""

    def __init__(self, root: Path, *words: str, **settings: object) -> None:
        self.root = root
        self._log = root.with_suffix(".log")
        env = {name: value for name, value in os.environ.items() if not name.startswith("GDWATCH_")}
        given = {"root": root, "min_free_mb": 1, **settings}
        self.started_at = time.time()
        with self._log.open("wb") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gdwatch", "run", *words,
                 *(f"--set={name}={value}" for name, value in given.items())],
                stdout=stream, stderr=stream, env=env,
            )  # fmt: skip

    def events(self, name: str) -> list[dict[str, Any]]:
        """What it has logged of one kind; `at`: seconds since 1970."""
        found = []
        for line in self._log.read_text().splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if event["event"] == name:
                    at = datetime.fromisoformat(event["timestamp"]).timestamp()
                    found.append({**event, "at": at})
        return found

    def wait_until_ready(self) -> float:
        """Seconds from its start until it serves."""
        while not self.events("service.ready"):
            self.require_alive()
            time.sleep(0.05)
        return float(self.events("service.ready")[0]["at"]) - self.started_at

    def require_alive(self) -> None:
        if self.process.poll() is not None:
            raise SystemExit(self._log.read_text())

    def sample(self, *, memory: bool = False) -> Sample:
        """What its processes have taken so far."""
        cpu_s: dict[str, float] = {}
        pss_mb = 0.0
        for pid, kind in processes(self.process.pid):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                spent = (int(words[11]) + int(words[12])) * _TICK_S
                cpu_s[kind] = cpu_s.get(kind, 0.0) + spent
                if memory:
                    pss_mb += _pss_kb(pid) / 1024
        return Sample(time.time(), cpu_s, pss_mb)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


def processes(pid: int) -> Iterator[tuple[int, str]]:
    """The service, its children and theirs, each with what it is."""
    yield pid, "service"
    waiting = [pid]
    with contextlib.suppress(OSError):
        while waiting:
            parent = waiting.pop()
            for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
                words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
                if len(words) > 1:  # else it has ended
                    waiting.append(int(child))
                    yield int(child), words[-2].rpartition(".")[2]


def _pss_kb(pid: int) -> int:
    """Proportional set size: what is shared counts as the share of it."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in rollup.splitlines() if line.startswith("Pss:")).split()[1])


def run_once(root: Path, *, memory_every_s: float = float("inf"), **settings: object) -> Run:
    """`gdwatch run --once` on a root whose inbox is full, to its end."""
    os.sync()  # what was written to make ready costs nobody anything later
    service = Service(root, "--once", **settings)
    samples: list[Sample] = []
    looked_at = time.monotonic()
    while service.process.poll() is None:
        memory = time.monotonic() - looked_at >= memory_every_s
        looked_at = time.monotonic() if memory else looked_at
        samples.append(service.sample(memory=memory))
        time.sleep(0.1)
    if service.process.returncode != 0:
        service.require_alive()
    words = {name: str(value) for name, value in settings.items()}  # as the command line has them
    return measured(service, samples, Settings(root=root, **words))


def measured(service: Service, samples: Sequence[Sample], settings: Settings) -> Run:
    """What a run took once it was ready, start-up left out."""
    ready_at = float(service.events("service.ready")[0]["at"])
    batches = [each for each in service.events("batch.filed") if "decode_ms" in each]
    files = sum(each["files"] for each in batches)
    ended_at = float(batches[-1]["at"])
    before = [each for each in samples if each.at <= ready_at][-1]
    most = {kind: max(each.cpu_s.get(kind, 0.0) for each in samples) for kind in before.cpu_s}
    spent_s = {kind: most[kind] - spent for kind, spent in before.cpu_s.items()}
    capacity = _capacity(settings)
    cpu_ms, head_start_s = shared_out(spent_s, files, capacity.slots)
    return Run(
        files,
        len(batches),
        service.started_at,
        ready_at - service.started_at,
        ended_at,
        ended_at - ready_at + head_start_s / capacity.workers,
        cpu_ms,
        [each.pss_mb for each in samples if each.pss_mb],
    )


def shared_out(
    spent_s: Mapping[str, float], files: int, places: int
) -> tuple[Mapping[str, float], float]:
    """Processor time of one file in each process, ms; and what the workers had done before, s.

    While the engine starts, the workers decode as much ahead as there are places for. The time
    that this takes them counts, as if they had done it with the others.

    spent_s: from when it was ready to the end.
    """
    ahead = min(places, files - 1)
    shares = {kind: files - ahead if kind == "worker" else files for kind in spent_s}
    cpu_ms = {kind: spent * 1000 / shares[kind] for kind, spent in spent_s.items()}
    return cpu_ms, ahead * cpu_ms["worker"] / 1000


def _capacity(settings: Settings) -> Capacity:
    files = model_file.read_models(settings.model, settings.crop)
    return Capacity.of(settings, layout([file.details for file in files], settings.crop))
