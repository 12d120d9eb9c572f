import os
import time
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gdwatch.service.hooks import Hooks
from gdwatch.values import Entry, Judged, Outcome
from tests import build
from tests.gdwatch.conftest import World

# Writes what it is told to a file of its own for each call, whole.
TELL = 'n=$(ls "$0" | wc -l); env -0 > "$0/.$n"; mv "$0/.$n" "$0/$n"'


class Told:
    """A hook that writes down each of its calls."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self.words = ["sh", "-c", TELL, str(folder)]

    def calls(self) -> list[dict[str, str]]:
        return [
            dict(pair.split("=", 1) for pair in file.read_text().split("\0") if pair)
            for file in sorted(self._folder.glob("[0-9]*"))
        ]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path / "told")


def hooks_of(root: Path, today: list[str] | None = None, **settings: Any) -> Hooks:
    folders, chosen = build.folders_of(root, **settings)
    days = today or ["2026-11-23"]
    return Hooks(chosen, folders, lambda: days[-1])


def decided(world: World, name: str, outcome: Outcome) -> tuple[Entry, Judged]:
    judged = world.judged(world.drop(name), outcome)
    (entry,) = world.record(judged)
    return entry, judged


def run_out(hooks: Hooks) -> list[Any]:
    """Let all run that are due; returns what was logged."""
    with capture_logs() as logged:
        hooks.close(patience_s=build.DEADLINE_S)
    return [line for line in logged if line["event"] == "hook.failed"]


def test_a_hook_is_told_of_all_files_since_the_last_call(world: World, told: Told) -> None:
    hooks = hooks_of(world.root, on_rejected=told.words, on_unsure=["/nowhere/nothing"])
    pairs = [decided(world, f"trip/{number} a\\b.png", "rejected") for number in range(2)]
    hooks.note([*pairs, decided(world, "fine.png", "male")])
    assert run_out(hooks) == []
    (call,) = told.calls()
    assert (call["HOOK"], call["HOOK_COUNT"]) == ("on_rejected", "2")
    assert call["GDWATCH_ROOT"] == str(world.root)
    assert call["HOOK_FILES"].split("\n") == [
        rf"rejected/trip/{number} a\\b.png" for number in range(2)
    ]
    assert call["HOOK_REASONS"] == "truncated\ntruncated"
    assert call["HOOK_IDS"].split("\n") == [str(entry.id) for entry, _ in pairs]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["/nowhere/nothing"], "no such file or directory"),
        (["false"], "exit status 1"),
        (["sh", "-c", "kill -9 $$"], "signal 9"),
        (["a\0b"], "embedded null byte"),
    ],
)
def test_a_hook_that_is_missing_or_fails_is_one_line(
    world: World, words: list[str], reason: str
) -> None:
    hooks = hooks_of(world.root, on_unsure=words)
    hooks.note([decided(world, "a.png", "unsure")])
    (line,) = run_out(hooks)
    assert (line["hook"], line["command"], line["reason"]) == ("on_unsure", words[0], reason)


def test_a_hook_that_hangs_is_ended_with_what_it_started_and_the_next_one_runs(
    world: World, told: Told, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    hang = ["sh", "-c", 'sleep 1000 & echo $! > "$0"; wait', str(pid)]
    hooks = hooks_of(world.root, on_unsure=hang, on_rejected=told.words, hook_timeout_s=0.5)
    hooks.note([decided(world, "a.png", "unsure"), decided(world, "b.png", "rejected")])
    began = time.monotonic()
    hooks.look(began)
    build.wait_until(lambda: pid.exists() and pid.read_text().strip())
    assert time.monotonic() - began < build.DEADLINE_S  # and `look` itself never waits for it
    assert told.calls() == []
    (line,) = run_out(hooks)
    assert "hook_timeout_s 0.5" in line["reason"]
    build.wait_until(lambda: not build.is_alive(int(pid.read_text())))
    assert [call["HOOK_FILES"] for call in told.calls()] == ["rejected/b.png"]


def test_a_stop_ends_the_hook_that_still_runs(world: World) -> None:
    hooks = hooks_of(world.root, on_unsure=["sleep", "1000"])
    hooks.note([decided(world, "a.png", "unsure")])
    hooks.look(time.monotonic())
    with capture_logs() as logged:
        hooks.close()
    assert [line["reason"] for line in logged] == ["the service stops"]


def test_a_pause_tells_its_reason(world: World, told: Told) -> None:
    hooks = hooks_of(world.root, on_paused=told.words)
    hooks.note_pause("disk_low", "7 MiB are free")
    run_out(hooks)
    (call,) = told.calls()
    assert (call["HOOK_REASON"], call["HOOK_WHY"]) == ("disk_low", "7 MiB are free")


def test_daily_runs_once_a_day_also_over_restarts(world: World, told: Told) -> None:
    days = ["2026-11-23"]
    for day in ("2026-11-23", "2026-11-24", "2026-11-24", "2026-11-27"):
        days.append(day)
        hooks = hooks_of(world.root, days, daily=told.words)
        hooks.look(time.monotonic())
        assert run_out(hooks) == []
    spans = [(call["HOOK_SINCE"], call["HOOK_UNTIL"]) for call in told.calls()]
    assert spans == [("2026-11-23", "2026-11-24"), ("2026-11-24", "2026-11-27")]


def test_of_very_many_files_the_first_are_named(world: World, told: Told) -> None:
    hooks = hooks_of(world.root, on_rejected=told.words)
    pair = decided(world, "x" * 200 + ".png", "rejected")
    hooks.note([pair] * 3000)
    assert run_out(hooks) == []
    (call,) = told.calls()
    assert call["HOOK_COUNT"] == "3000"
    assert 100 <= len(call["HOOK_FILES"].split("\n")) == len(call["HOOK_IDS"].split("\n")) <= 500


def test_without_hooks_nothing_is_kept(world: World) -> None:
    hooks = hooks_of(world.root)
    hooks.note([decided(world, "a.png", "rejected")])
    hooks.note_pause("disk_low", "")
    hooks.look(time.monotonic())
    assert os.listdir(world.root / ".gdwatch") == []
