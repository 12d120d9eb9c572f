"""How soon the first of very many files are judged, and in how much memory.

    python -m tests.bench.large_inbox --files 2000000
    python -m tests.bench.large_inbox --files 100000 --folders 100000 --watches 60000

The files are hard links to a few small photographs: names and folders are what is counted here.
`--watches` gives the service a user namespace in which the kernel watches only so many folders.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests import build

_LINKS = 50_000  # to one file: ext4 allows 65,000


@dataclass(slots=True)
class Found:
    """What one run has shown. Seconds after `service.ready`, megabytes of the main process."""

    first_batch_s: float = float("nan")
    ready_s: float = float("nan")  # after the start
    watched_s: float | None = None  # when the watch stood
    limited: dict[str, Any] | None = None
    memory_mb: list[float] = field(default_factory=list)
    filed: int = 0
    status_s: float = float("nan")
    status: str = ""


def fill(inbox: Path, files: int, folders: int) -> None:
    """Fill an inbox with so many files, in so many folders two levels deep, or in none."""
    beside = inbox.parent / "pictures"
    beside.mkdir()
    source = Path()
    for number in range(files):
        if number % _LINKS == 0:
            source = beside / f"{number}.jpg"
            source.write_bytes(build.photograph(number % 97, build.BRIGHT))
        target = inbox
        if folders:
            target = inbox / f"{number % folders // 1000}" / f"{number % folders}"
            if number < folders:
                target.mkdir(parents=True, exist_ok=True)
        os.link(source, f"{target}/{number}.png")


def serve(root: Path, words: list[str], watches: int, seconds: float, enough: int) -> Found:
    """Run the service for so long after it is ready, or until enough is filed; then end it."""
    command = [sys.executable, "-m", "gdwatch", "run", *words]
    if watches:
        limit = f"echo {watches} > /proc/sys/user/max_inotify_watches"
        own = ["unshare", "--user", "--map-root-user", "sh", "-c", f'{limit} && exec "$@"', "sh"]
        command = [*own, *command]
    log = root / "log"
    with log.open("wb") as out:
        began = time.time()
        service = subprocess.Popen(command, stderr=out, cwd=root)
    found = Found()
    try:
        memory = Path(f"/proc/{service.pid}/statm")
        until = float("inf")
        while time.time() < until and service.poll() is None:
            pages = int(memory.read_text().split()[1])
            found.memory_mb.append(pages * os.sysconf("SC_PAGESIZE") / 1e6)
            time.sleep(0.5)
            if until == float("inf") and any(_events(log, "service.ready")):
                until = time.time() + seconds
            if sum(each["files"] for each in _events(log, "batch.filed")) >= enough:
                break
        asked = time.monotonic()
        said = [sys.executable, "-m", "gdwatch", "status", *words]
        found.status = subprocess.run(said, capture_output=True, text=True, check=False).stdout
        found.status_s = time.monotonic() - asked
    finally:
        service.send_signal(signal.SIGTERM)
        service.wait()
    (ready,) = _events(log, "service.ready")
    batches = list(_events(log, "batch.filed"))
    found.ready_s = _when(ready) - began
    found.first_batch_s = _when(batches[0]) - _when(ready) if batches else float("nan")
    found.filed = sum(each["files"] for each in batches)
    found.limited = next(_events(log, "watch.limited"), None)
    started = next(_events(log, "watch.started"), None)
    found.watched_s = _when(started) - _when(ready) if started else None
    return found


def _events(log: Path, name: str) -> Iterator[dict[str, Any]]:
    for line in log.read_text().splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if event.get("event") == name:
                yield event


def _when(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["timestamp"]).timestamp()


def measure(work: Path, files: int, folders: int, watches: int, seconds: float) -> Found:
    """Make a root with such an inbox, serve it for a while, and remove it."""
    root = work / "root"
    for name in ("inbox", "female", "male", "unsure", "rejected"):
        (root / name).mkdir(parents=True)
    fill(root / "inbox", files, folders)
    model = build.model_file(work / "model.safetensors")
    words = [f"--root={root}", f"--set=model={model}", "--set=log_format=json"]
    try:
        return serve(root, words, watches, seconds, files)
    finally:
        shutil.rmtree(root)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.large_inbox")
    parser.add_argument("--files", type=int, default=2_000_000)
    parser.add_argument("--folders", type=int, default=0)
    parser.add_argument("--watches", type=int, default=0, help="that the kernel allows the service")
    parser.add_argument("--seconds", type=float, default=60.0, help="to look at it")
    parser.add_argument("--work", type=Path, help="folder to work in; its disk is measured")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.work, prefix="gdwatch-inbox-") as folder:
        found = measure(Path(folder), given.files, given.folders, given.watches, given.seconds)
    memory = found.memory_mb
    print(f"{given.files} files in {given.folders or 1} folders: "
          f"ready {found.ready_s:.1f} s after the start, "
          f"first batch filed {found.first_batch_s:.1f} s after that; "
          f"{found.filed} filed in {given.seconds:.0f} s; "
          f"main process {memory[len(memory) // 4]:.0f} MB after a quarter of the time, "
          f"{max(memory):.0f} MB at most; `status` took {found.status_s:.1f} s")  # fmt: skip
    if found.watched_s is not None:
        print(f"the watch was complete {found.watched_s:.1f} s after the service was ready")
    if found.limited:
        print({name: found.limited[name] for name in ("watched", "unwatched", "hint")})
    print(found.status)


if __name__ == "__main__":
    main()
