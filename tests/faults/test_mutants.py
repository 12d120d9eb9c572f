"""The oracle finds every mistake of `mutants`, and none where there is none."""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import build
from tests.faults import oracle
from tests.faults.case import Case, Wrong
from tests.faults.launch import Fault, call
from tests.faults.mutants import MUTANTS
from tests.faults.toy import Answer

EXDEV = Fault("C7.rename", do=("EXDEV",), until=None)


# ------------------------------------------------------------------------- scenarios


def traced(case: Case, *faults: Fault) -> None:
    """Every step in its order."""
    case.settings["batch_size"] = 3
    case.drop_mixture(6)
    trace = case.folder / "trace"
    recorder = call("tests.faults.recorder:start", trace=str(trace), root=str(case.root))
    case.run("run", "--once", before=[recorder], faults=faults)
    case.judge(trace=[json.loads(line) for line in trace.read_text().splitlines()])


def traced_copy(case: Case) -> None:
    traced(case, EXDEV)


def killed_before_commit(case: Case) -> None:
    case.drop_mixture(6)
    case.run("run", "--once", faults=[Fault("C6.send", "after")], allowed=(-9,))
    case.look_after_fault()
    case.finish()


def killed_after_record(case: Case) -> None:
    case.drop("a.png")
    case.run("run", "--once", faults=[Fault("C6.record", "after")], allowed=(-9,))
    case.finish()


def same_name(case: Case, what: str, at: str) -> None:
    """A person takes the name at the last moment."""
    path = case.drop("a.png", case.picture(0.97))
    target = case.root / "male" / "a.png"
    theirs = path.read_bytes() if what == "copy_there" else b"mine"
    source = {"path": str(path)} if what == "copy_there" else {}
    act = call(f"tests.faults.acts:{what}", target=str(target), **source)
    case.run("run", "--once", faults=[Fault(at, do=(act,))])
    kept = case.look().get(os.fsencode(target))
    was = oracle.Thing("file", build.sha256(theirs), len(theirs))
    case.before[os.fsencode(target)] = kept if kept and kept.sha256 == was.sha256 else was
    case.finish()


def name_taken(case: Case) -> None:
    same_name(case, "put_there", "C7.rename")


def name_taken_by_a_copy(case: Case) -> None:
    same_name(case, "copy_there", "C7.move")


def name_taken_after_the_check(case: Case) -> None:
    same_name(case, "put_there", "gdwatch.filing:os.rename")


def content_twice(case: Case) -> None:
    content = case.picture(0.97)
    case.drop("a.png", content)
    case.run("run", "--once")
    case.drop("b.png", content)
    case.finish()


def disk_that_spoils(case: Case) -> None:
    case.drop("a.png")
    spoilt = [call("tests.faults.acts:spoil_writes")]
    case.run("run", "--once", faults=[EXDEV], before=spoilt, allowed=(0, 1))
    case.finish()


def written_in_place(case: Case) -> None:
    """A writer who has reserved the space first, and fills it piece by piece, one at each look."""
    content, path = case.picture(0.97), case.inbox / "slow.png"
    whole = case.folder / "whole.png"
    whole.write_bytes(content)
    path.write_bytes(bytes(len(content)))
    act = call("tests.faults.acts:write_a_piece", path=str(path), whole=str(whole))
    case.run("run", "--once", settle_ms=50, faults=[Fault("C1.list", do=(act,), until=40)])
    (lies,) = [thing for place, thing in case.look().items() if place.endswith(b"/slow.png")]
    case.note(whole, Answer("male", None, "male", 0.97))
    case.change(0, path=os.fsencode(path), mtime_ns=lies.mtime_ns)
    case.judge()


def bad_model_at_hangup(case: Case) -> None:
    path = build.model_file(case.folder / "m.safetensors")
    case.settings["model"] = path
    run = case.start("run")
    case.drop("a.png")
    case.wait_until_filed(run)
    build.model_file(path, recipe={"stub": "refuse"})
    run.send(signal.SIGHUP)
    end = time.monotonic() + 30
    while run.status is None and not (run.events("model.refused") or run.events("service.paused")):
        assert time.monotonic() < end, run.text()
        run.ends_within(0.05)
    case.drop("b.png")
    with contextlib.suppress(AssertionError):  # that it has ended is the oracle's to say
        case.wait_until_filed(run, deadline_s=20.0)
    run.send(signal.SIGTERM)
    run.wait()
    case.judge()


def engine_that_dies(case: Case) -> None:
    case.settings["model"] = build.model_file(
        case.folder / "m.safetensors", recipe={"stub": "die_on_batch"}
    )
    case.drop("a.png", ends="waiting")
    run = case.start("run", allowed=(1,))
    end = time.monotonic() + 60
    while run.status is None and len(run.events("engine.restarted")) < 5:
        assert time.monotonic() < end, run.text()
        run.ends_within(0.05)
    run.kill()
    log = [line for line in run.lines() if not line.startswith("{") or "event" in line]
    case.judge(log=log)


def second_service(case: Case) -> None:
    first = case.start("run")
    case.drop("a.png")
    case.wait_until_filed(first)
    case.run("run", "--once", allowed=(75,))
    first.send(signal.SIGTERM)
    first.wait()
    case.judge()


def workers_hold_no_lock(case: Case) -> None:
    run = case.start("run")
    case.drop("a.png")
    case.wait_until_filed(run)
    for pid in build.children(run.pid):
        for held in Path(f"/proc/{pid}/fd").iterdir():
            assert not str(held.readlink()).endswith("/.gdwatch/lock")
    run.send(signal.SIGTERM)
    run.wait()
    case.judge()


# The mistake, the scenario that finds it, and the invariant that the oracle names; None where
# the scenario itself does.
TABLE: list[tuple[str, Callable[[Case], None], str | None]] = [
    ("move_before_record", traced, "I3"),
    ("move_before_record", killed_before_commit, "I3"),
    ("one_commit_after_the_move", traced, "I3"),
    ("one_commit_after_the_move", killed_before_commit, "I3"),
    ("filed_before_sync", traced, "I4"),
    ("inbox_synced_first", traced, "I1"),
    ("no_folder_synced", traced, "I4"),
    ("no_source_synced", traced, "I4"),
    ("synchronous_normal", traced, "I3"),
    ("synchronous_off", traced, "I3"),
    ("copy_not_synced", traced_copy, "I4"),
    ("source_removed_before_copy_is_durable", traced_copy, "I1"),
    ("copy_not_verified", disk_that_spoils, "I1"),
    ("plain_rename", name_taken, "I5"),
    ("check_then_rename", name_taken_after_the_check, "I5"),
    ("shutil_move", name_taken, "I5"),
    ("recovery_skipped", killed_after_record, "I8"),
    ("recovery_decides_again", killed_after_record, "I2"),
    ("recovery_trusts_an_equal_hash", name_taken_by_a_copy, "I1"),
    ("second_row_of_a_content_dropped", content_twice, "I2"),
    ("lock_not_held", second_service, "I8"),
    ("lock_inherited_by_workers", workers_hold_no_lock, None),
    ("model_swapped_before_its_test", bad_model_at_hangup, "I8"),
    ("engine_started_for_ever", engine_that_dies, "I8"),
    ("settles_by_size_only", written_in_place, "I1"),
    ("settles_by_a_clock_that_jumps", written_in_place, None),
]


def test_the_table_has_every_mistake() -> None:
    assert {name for name, _, _ in TABLE} == MUTANTS.keys()


_SCENARIOS = dict.fromkeys(scenario for _, scenario, _ in TABLE)


@pytest.mark.parametrize("scenario", _SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_without_a_mistake_nothing_is_found(case: Case, scenario: Callable[[Case], None]) -> None:
    if scenario is name_taken_after_the_check:
        pytest.skip("there is no such moment in a program that does not check first")
    scenario(case)


@pytest.mark.parametrize(("mutant", "scenario", "invariant"), TABLE)
def test_a_mistake_is_found(
    case: Case, mutant: str, scenario: Callable[[Case], None], invariant: str | None
) -> None:
    case.mutant = mutant
    with pytest.raises(AssertionError) as found:
        scenario(case)
    if invariant is not None:
        assert isinstance(found.value, Wrong), found.value
        assert invariant in {each.invariant for each in found.value.violations}, found.value
