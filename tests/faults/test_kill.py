"""kill -9 at every step of a batch, in recovery, between two devices, at any time (T1, T2, T7)."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests import build
from tests.faults.case import Case, enough
from tests.faults.launch import Fault
from tests.faults.toy import Answer

_KILLED = -9
_WHENS = ("before", "after")
_TIMES = (1, 5, 17)
_BATCHES = (1, 3, 16)

_ONLY_ONCE = ("C0.root", "C0.schema", "C0.ledger", "C0.recover")
_PER_FILE = ("C1.look", "C3.open", "C4.give", "C4.decoded", "C5.decide", "C7.move", "C7.rename")
_PER_BATCH = (
    "C4.sync", "C5.judge", "C5.choose", "C6.record", "C6.insert", "C6.results", "C6.commit",
    "C8.sync", "C8.fsync", "C9.mark", "C9.filed",
)  # fmt: skip
_OF_A_LINK = ("C7.link", "X4.link", "X3.fsync", "X6.unlink")
_OF_A_COPY = (
    "X.copy", "X1.open", "X2.write", "X2.digest", "X3.mode", "X3.times", "X3.fsync", "X4.link",
    "X6.unlink", "C7.move", "C8.sync", "C8.fsync", "C9.mark",
)  # fmt: skip
LINKS = (Fault("C7.rename", do=("EINVAL",), until=None),)  # a file system without RENAME_NOREPLACE

# point, before or after, at which of its calls, files in a batch
Cell = tuple[str, str, int, int]
SWEEP: list[Cell] = [
    *product(_ONLY_ONCE, _WHENS, (1,), _BATCHES),
    *product(("C1.list",), _WHENS, (1, 2, 3), _BATCHES),  # of which there are as many as turns
    *product(_PER_FILE + _PER_BATCH + _OF_A_LINK, _WHENS, _TIMES, _BATCHES),
]
COPIES: list[Cell] = list(product(_OF_A_COPY, _WHENS, _TIMES, _BATCHES))
RECOVERY: list[Cell] = list(
    product(
        ("C0.recover", "C6.commit", "C7.move", "C7.rename", "C8.sync", "C8.fsync", "C9.mark"),
        _WHENS,
        (1, 2, 5),
        _BATCHES,
    )
)


def drop_enough(case: Case, cell: Cell) -> None:
    """So many files that the point is reached so often."""
    at, _, nth, batch = cell
    case.settings["batch_size"] = batch
    case.drop_mixture(enough(nth, batch) if at in _PER_BATCH else 20)


def killed_at(case: Case, cell: Cell, *others: Fault) -> None:
    """Run until the kill, and ask for what must hold at every moment."""
    at, when, nth, batch = cell
    faults = [*others, Fault(at, when, nth)]
    run = case.run("run", "--once", faults=faults, allowed=(_KILLED,))
    assert run.status == _KILLED, f"{at} was not reached {nth} times in batches of {batch}"
    case.look_after_fault()


@pytest.mark.scenario("T1", quick=19, long=1600)
def test_a_kill_at_any_step_loses_nothing(rounds: Iterator[Case]) -> None:
    for case in rounds:
        cell = case.pick(SWEEP)
        drop_enough(case, cell)
        killed_at(case, cell, *(LINKS if cell[0] in _OF_A_LINK else ()))
        case.finish()


@pytest.mark.scenario("T1", quick=6, long=300)
def test_a_kill_of_the_recovery_and_of_that_ones_recovery_loses_nothing(
    rounds: Iterator[Case],
) -> None:
    for case in rounds:
        cell = case.pick(RECOVERY)
        case.settings["batch_size"] = 16
        case.drop_mixture(20)
        killed_at(case, ("C6.record", "after", 1, 16))
        for _ in range(2):
            at, when, nth, _ = cell
            faults = [Fault(at, when, nth, may_miss=True)]
            case.run("run", "--once", faults=faults, allowed=(_KILLED, 0))
            case.look_after_fault()
            cell = case.dice.choice(RECOVERY)
        case.finish()


@pytest.mark.scenario("T1", quick=2, long=100)
def test_a_kill_loses_nothing_with_the_real_engine(rounds: Iterator[Case]) -> None:
    levels = {
        build.BRIGHT: Answer("male", None, "male"),
        build.DARK: Answer("female", None, "female"),
        build.GREY: Answer("unsure", "low_confidence"),
    }
    for case in rounds:
        at, when, nth, batch = case.pick([cell for cell in SWEEP if cell[0] not in _OF_A_LINK])
        for number in range(enough(nth, batch) if at in _PER_BATCH else 20):
            level = (build.BRIGHT, build.DARK, build.GREY)[number % 3]
            content = build.photograph(case.number * 1000 + number, level)
            case.drop(f"{number}.png", content, levels[level])
        faults = [Fault(at, when, nth)]
        workers = 1 + case.number % 2  # and as many processes in the engine
        how = {"engine": "real", "fresh": True, "batch_size": batch, "workers": workers}
        case.run("run", "--once", faults=faults, allowed=(_KILLED,), **how)
        case.look_after_fault()
        case.run("run", "--once", **how)
        case.judge()


# ------------------------------------------------------------------------- two devices


def put_on_two_devices(case: Case, tmp_path: Path) -> None:
    """Have the inbox on another file system than the root; skip where there is none."""
    if case.root.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no file system beside that of the temporary folder")
    case.put_inbox_on(tmp_path)


@pytest.mark.scenario("T7", quick=8, long=280)
def test_a_kill_between_two_devices_loses_nothing(rounds: Iterator[Case], tmp_path: Path) -> None:
    for case in rounds:
        put_on_two_devices(case, tmp_path)
        cell = case.pick(COPIES)
        drop_enough(case, cell)
        killed_at(case, cell)
        case.finish()


@pytest.mark.scenario("T7", quick=1, long=20)
def test_a_kill_of_the_recovery_between_two_devices_loses_nothing(
    rounds: Iterator[Case], tmp_path: Path
) -> None:
    for case in rounds:
        put_on_two_devices(case, tmp_path)
        case.settings["batch_size"] = 16
        case.drop_mixture(18)
        killed_at(case, ("C6.record", "after", 1, 16))
        at, when, nth, _ = case.dice.choice(COPIES)
        faults = [Fault(at, when, nth, may_miss=True)]
        case.run("run", "--once", faults=faults, allowed=(_KILLED, 0))
        case.look_after_fault()
        case.finish()


# ------------------------------------------------------------------------- at any time


@pytest.mark.scenario("T2", quick=6, long=700)
def test_a_kill_at_any_time_loses_nothing(rounds: Iterator[Case]) -> None:
    longest_s = 0.5
    for case in rounds:
        case.settings |= {"batch_size": case.dice.choice(_BATCHES), "workers": 1 + case.number % 3}
        case.drop_mixture(16)
        while not case.count.kills:
            run = case.start("run", "--once", allowed=(_KILLED, 0))
            end_s = case.dice.uniform(0, longest_s)
            if run.ends_within(end_s):
                longest_s = end_s  # it was faster than that: kill earlier
                case.drop_mixture(16)
            else:
                run.kill()
                longest_s += 0.05
                case.count.kills += 1
            case.look_after_fault()
        case.finish()


@pytest.mark.scenario("T2", quick=4, long=300)
def test_a_service_killed_again_and_again_while_files_come_loses_nothing(
    rounds: Iterator[Case],
) -> None:
    for case in rounds:
        case.settings |= {"batch_size": case.dice.choice(_BATCHES), "workers": 1 + case.number % 3}
        for _ in range(2):
            run = case.start("run", allowed=(_KILLED,), rescan_s=0.2)
            for number in range(12):
                case.drop(f"{len(case.dropped)}-{number}.png")
                run.ends_within(case.dice.uniform(0, 0.1))
            run.kill()
            case.count.kills += 1
            case.look_after_fault()
        case.finish()


def test_the_sweep_hits_every_point_of_the_page() -> None:
    steps = {at[:2] for at, *_ in SWEEP}
    assert steps == {"C0", "C1", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "X3", "X4", "X6"}
    assert {at[:2] for at, *_ in COPIES} >= {"X1", "X2", "X3", "X4", "X6", "C8"}
    assert len(set(SWEEP)) == len(SWEEP)
