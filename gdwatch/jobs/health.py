"""Whether the service is well, from what `gdwatch status` has seen: pure, for a monitor's check.

The levels are those of the Monitoring Plugins guidelines, which Nagios, Icinga, Sensu, Checkmk and
Consul heed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from gdwatch.intake.backlog import Waiting


class Level(IntEnum):
    """How bad it is: the exit status of `gdwatch status --check`."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not well. name: a word for scripts; text: for people."""

    level: Level
    name: str
    text: str


def problems(status: Mapping[str, Any], max_wait_s: float, min_free_mb: int) -> Iterator[Problem]:
    """Yield what is not well. status: the answer of `gdwatch status --json`.

    max_wait_s: how long a photograph may wait. min_free_mb: below it the service pauses; below
    twice of it is a warning.
    """
    state, waits_s, free_mb = status["state"], status["oldest_waiting_s"], status["free_mb"]
    if state == "stopped":
        yield Problem(Level.CRITICAL, "stopped", f"stopped since {status['since']}")
    if state == "paused":
        text = f"paused since {status['since']}: {status['reason']}"
        yield Problem(Level.CRITICAL, "paused", text)
    if status["filed"] is None:
        yield Problem(Level.CRITICAL, "ledger", "the ledger cannot be read: `gdwatch doctor`")
    if waits_s is not None and waits_s > max_wait_s:
        text = f"a photograph has waited {waits_s} s, more than {max_wait_s:g} s"
        yield Problem(Level.CRITICAL, "waiting", text)
    if free_mb is not None and free_mb < 2 * min_free_mb:
        text = f"{free_mb} MiB are free; below min_free_mb = {min_free_mb} it pauses"
        yield Problem(Level.WARNING, "disk_low", text)
    if status["skipped"]:
        text = f"{len(status['skipped'])} in the inbox have to stay: `gdwatch status`"
        yield Problem(Level.WARNING, "skipped", text)


def why_it_waits(
    state: str,
    reason: str | None,
    waiting: Waiting,
    settle_s: float,
    is_written: Callable[[], bool],
) -> str:
    """Say why a file is still in the inbox.

    state, reason: of the service. is_written: whether a process has it open for writing; asked only
    where the answer depends on it.
    """
    if state == "stopped":
        return "the service is stopped"
    if state == "paused":
        return f"the service is paused: {reason}"
    if waiting.waits_s <= settle_s:
        return f"must look the same for settle_ms = {settle_s * 1000:g}"
    if is_written():
        return "a program has it open for writing"
    if not waiting.size_bytes:
        return "empty; it is given a minute to be filled"
    return "in the queue"
