"""The clock jumps (T10), events are lost (T11), writers are slow (T12)."""

import glob
import mmap
import os
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.build import sha256, wait_until
from tests.faults.case import Case
from tests.faults.launch import Fault, call
from tests.faults.oracle import Dropped
from tests.faults.surroundings import heals, pauses, ready, stop, wait_for
from tests.faults.toy import Answer

# ------------------------------------------------------------------------- the clock

PAUSE = "gdwatch.service.pause:PauseState._sleep"


def faked_clock(case: Case) -> dict[str, str]:
    """The environment of a run whose wall clock, and only that, is as a file says."""
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not found:
        pytest.skip("libfaketime is not installed")
    clock = case.folder / "clock"
    clock.write_text("+0")
    return {
        "LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
    }  # fmt: skip


def years_between(one: str, other: str) -> float:
    return abs((datetime.fromisoformat(other) - datetime.fromisoformat(one)).days) / 365


@pytest.mark.scenario("T10", quick=2, long=20)
def test_a_clock_that_jumps_while_a_file_settles_changes_nothing(rounds: list[Case]) -> None:
    for case in rounds:
        by = case.pick(["+365d", "-365d"])
        jumps = call("tests.faults.acts:jump", clock=str(case.folder / "clock"), by=by)
        case.settings["settle_ms"] = 300
        case.drop_mixture(4)
        jumped = Fault("gdwatch.intake.settling:Look", "after", nth=2, do=(jumps,))
        case.run("run", "--once", fresh=True, environment=faked_clock(case), faults=[jumped])
        row = case.rows()[0]
        assert years_between(row["received_at"], row["recorded_at"]) > 0.9, "it did jump"
        case.judge()


@pytest.mark.scenario("T10", quick=2, long=20)
def test_a_clock_that_jumps_during_a_pause_changes_nothing(rounds: list[Case]) -> None:
    for case in rounds:
        by = case.pick(["-365d", "+365d"])
        jumps = call("tests.faults.acts:jump", clock=str(case.folder / "clock"), by=by)
        run = ready(case, fresh=True, environment=faked_clock(case),
                    before=[call("tests.faults.acts:sleep_by_select")],
                    faults=[Fault(PAUSE, do=(jumps,))])  # fmt: skip
        case.inbox.rename(case.root / "away")
        pauses(case, run, "inbox_missing")
        (case.root / "away").rename(case.inbox)
        case.drop_mixture(4)
        heals(case, run)
        (paused,), (resumed,) = run.events("service.paused"), run.events("service.resumed")
        assert years_between(paused["timestamp"], resumed["timestamp"]) > 0.9, "it did jump"
        assert resumed["after_s"] < 3600
        case.judge()


# ------------------------------------------------------------------------- events


LIMIT = Path("/proc/sys/fs/inotify/max_queued_events")


@pytest.mark.scenario("T11", quick=1, long=20, in_memory=True)
def test_events_that_the_kernel_drops_cost_no_file(rounds: list[Case]) -> None:
    for case in rounds:
        usual = LIMIT.read_text()
        try:
            LIMIT.write_text("64")
        except OSError as error:
            pytest.skip(f"{LIMIT} cannot be set: {error.strerror}")
        try:
            # A watch has the limit of the moment that it was made in.
            run = ready(case, batch_size=128, batch_wait_ms=100)
        finally:
            LIMIT.write_text(usual)
        run.send(signal.SIGSTOP)
        run.wait_until_stopped()
        for number in range(3000):
            case.drop(f"{number:04}.png", case.picture(0.97), Answer("male", None, "male", 0.97))
        run.send(signal.SIGCONT)
        wait_for(run, "watch.overflow")
        case.count.faults += 1
        # By the log: to read thousands of rows again and again would take longer than to file.
        wait_until(lambda run=run: sum(e["files"] for e in run.events("batch.filed")) >= 3000,
                   "3,000 files filed", 600)  # fmt: skip
        case.wait_until_filed(run)
        stop(run)
        case.judge()


# ------------------------------------------------------------------------- writers


REST_S = 0.5  # longer than settle_ms


def rests(path: Path, content: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        file.write(content[:99])
        time.sleep(REST_S)
        file.write(content[99:])


def reserves(path: Path, content: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, len(content))
        time.sleep(REST_S)
        file.write(content)


def maps(path: Path, content: bytes) -> None:
    """Stores to memory that the kernel writes some time: the second half changes no time."""
    with path.open("w+b") as file:
        file.truncate(len(content))
        memory = mmap.mmap(file.fileno(), len(content))
    memory[:99] = content[:99]
    time.sleep(REST_S)
    memory[99:] = content[99:]
    memory.close()


def opens_again(path: Path, content: bytes) -> None:
    for at in range(0, len(content), 64):
        with path.open("ab") as file:
            file.write(content[at : at + 64])
        time.sleep(0.005)  # far below settle_ms


def writes_backwards(path: Path, content: bytes) -> None:
    with path.open("wb", buffering=0) as file:
        for at in reversed(range(0, len(content), 128)):
            os.pwrite(file.fileno(), content[at : at + 128], at)
            time.sleep(0.01)


def replaces(path: Path, content: bytes) -> None:
    """As an editor does: a first version is there, and the second comes over it by rename."""
    with path.open("wb", buffering=0) as file:
        file.write(content[:99])
        aside = path.with_name(".aside")
        aside.write_bytes(content)
        aside.rename(path)


WRITERS: tuple[Callable[[Path, bytes], None], ...] = (
    rests, reserves, maps, opens_again, writes_backwards, replaces
)  # fmt: skip


@pytest.mark.scenario("T12", quick=6, long=200)
def test_a_slow_writers_file_is_judged_by_its_last_bytes(rounds: list[Case]) -> None:
    for case in rounds:
        write = case.pick(WRITERS)
        run = ready(case, settle_ms=1000 if write is opens_again else 150)
        content = case.picture(0.97)
        path = case.inbox / "slow.png"
        write(path, content)
        (row,) = wait_until(lambda case=case: [r for r in case.rows() if r["state"] == "filed"])
        modified_ns = (case.root / row["path"]).stat().st_mtime_ns
        case.dropped.append(Dropped(os.fsencode(path), sha256(content), len(content), modified_ns,
                                    Answer("male", None, "male", 0.97)))  # fmt: skip
        case.count.dropped += 1
        case.count.faults += 1
        stop(run)
        case.judge()
