from typing import Any

import pytest

from gdwatch.intake.backlog import Waiting
from gdwatch.jobs.health import Level, problems, why_it_waits

WELL: dict[str, Any] = {
    "state": "running", "reason": None, "since": "2026-11-23T18:04:05+00:00", "filed": 7,
    "oldest_waiting_s": 0, "free_mb": 5000, "skipped": {},
}  # fmt: skip
LEVELS = [
    ({"state": "stopped"}, "stopped", Level.CRITICAL),
    ({"state": "paused", "reason": "disk_low"}, "paused", Level.CRITICAL),
    ({"filed": None}, "ledger", Level.CRITICAL),
    ({"oldest_waiting_s": 601}, "waiting", Level.CRITICAL),
    ({"free_mb": 199}, "disk_low", Level.WARNING),
    ({"skipped": {"a.jpg": "permission"}}, "skipped", Level.WARNING),
]


def found(**differences: Any) -> list[tuple[str, Level]]:
    return [(each.name, each.level) for each in problems({**WELL, **differences}, 600, 100)]


def test_a_service_that_runs_and_gets_on_is_well() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("differences", "name", "level"), LEVELS, ids=[name for _, name, _ in LEVELS]
)
def test_each_problem_has_its_name_and_level(
    differences: dict[str, Any], name: str, level: Level
) -> None:
    assert found(**differences) == [(name, level)]


def test_a_wait_of_just_so_long_and_twice_the_space_are_well() -> None:
    assert found(oldest_waiting_s=600, free_mb=200) == []


def test_what_cannot_be_seen_is_no_problem() -> None:
    assert found(oldest_waiting_s=None, free_mb=None) == []


@pytest.mark.parametrize(
    ("state", "waits_s", "size", "written", "why"),
    [
        ("stopped", 90, 9, "by a program", "the service is stopped"),
        ("paused", 90, 9, "by a program", "the service is paused: disk_low"),
        ("running", 0.5, 9, "by a program", "must look the same for settle_ms = 1000"),
        ("running", 90, 9, "by a program", "a program has it open for writing"),
        ("running", 30, 0, "", "empty; it is given a minute to be filled"),
        ("running", 90, 9, "", "in the queue"),
    ],
)
def test_a_waiting_file_says_why(
    state: str, waits_s: float, size: int, written: str, why: str
) -> None:
    reason = "disk_low" if state == "paused" else None
    waiting = Waiting(b"/inbox/a.jpg", waits_s, size)
    assert why_it_waits(state, reason, waiting, 1.0, lambda: bool(written)) == why
