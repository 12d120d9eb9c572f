"""One file for a service that has nothing to do; and what starting costs."""

import contextlib
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.photographs import Pool
from tests.bench.service_run import Service

_PAUSE_S = 0.1  # so that the service is idle again
_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Idle:
    """latencies_ms: from the rename into the inbox until the row says `filed`, one a file.

    idle_share: of one core, by the service with all its processes, while nothing happens.
    """

    latencies_ms: Sequence[float]
    idle_share: float

    @property
    def median_ms(self) -> float:
        return statistics.median(self.latencies_ms)

    @property
    def p99_ms(self) -> float:
        return sorted(self.latencies_ms)[round(0.99 * (len(self.latencies_ms) - 1))]


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds, medians. ready: of `gdwatch run` on an empty inbox, with `import torch`."""

    help_s: float
    import_torch_s: float
    ready_s: float


def idle(root: Path, pool: Pool, count: int, idle_s: float) -> Idle:
    """Drop one file after the other, then none."""
    service = Service(root)
    try:
        service.wait_until_ready()
        pool.fill(root / "aside", count)
        latencies = [_latency_ms(root, path) for path in sorted((root / "aside").iterdir())]
        before = service.sample()
        time.sleep(idle_s)
        after = service.sample()
        service.require_alive()
    finally:
        service.end()
    spent_s = sum(after.cpu_s.values()) - sum(before.cpu_s.values())
    return Idle(latencies[1:], spent_s / (after.at - before.at))  # the first meets cold caches


def _latency_ms(root: Path, path: Path) -> float:
    time.sleep(_PAUSE_S)
    database = f"file:{root / 'results.db'}?mode=ro"
    with contextlib.closing(sqlite3.connect(database, uri=True)) as ledger:
        began = time.perf_counter()
        path.rename(root / "inbox" / path.name)
        while not _is_filed(ledger, path.name):
            if time.perf_counter() - began > _DEADLINE_S:
                raise SystemExit(f"{path.name} was not filed within {_DEADLINE_S} s")
            time.sleep(0.001)
        return (time.perf_counter() - began) * 1000


def _is_filed(ledger: sqlite3.Connection, name: str) -> bool:
    query = "SELECT 1 FROM files WHERE name = ? AND state = 'filed'"
    return ledger.execute(query, (name,)).fetchone() is not None


def start(work: Path, rounds: int) -> Start:
    """Start everything in turns."""
    help_s, torch_s, ready_s = [], [], []
    for number in range(rounds):
        help_s.append(_seconds("-m", "gdwatch", "--help"))
        torch_s.append(_seconds("-c", "import torch"))
        service = Service(work / f"start-{number}")
        ready_s.append(service.wait_until_ready())
        service.end()
    return Start(*(statistics.median(each) for each in (help_s, torch_s, ready_s)))


def _seconds(*words: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
