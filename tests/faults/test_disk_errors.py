"""The disk answers EIO, once or several times (T9): to the service, its workers and SQLite."""

import json
import os
from itertools import product
from pathlib import Path

import pytest

from tests.faults.case import Case, enough
from tests.faults.launch import Fault
from tests.faults.surroundings import under
from tests.faults.toy import Answer

_HERE = (
    "gdwatch.intake.inbox_listing:os.scandir", "gdwatch.intake.inbox_listing:os.stat",
    "gdwatch.intake.opening:os.open", "C4.sync", "C7.rename", "C8.fsync",
    "gdwatch.root.folder_handles:os.open", "gdwatch.root.folder_handles:os.stat",
)  # fmt: skip
_ACROSS = ("X1.open", "X2.write", "X2.digest", "X3.fsync", "X4.link", "X6.unlink")
SWEEP = [
    (at, nth, more, at in _ACROSS)
    for at, nth, more in product((*_HERE, *_ACROSS), (1, 2, 5), (0, 2))
]


@pytest.mark.scenario("T9", quick=8, long=400)
def test_an_error_of_the_disk_ends_in_a_pause_or_in_one_line(rounds: list[Case]) -> None:
    for case in rounds:
        at, nth, more, is_across = case.pick(SWEEP)
        case.settings["batch_size"] = 3
        case.drop_mixture(enough(nth, 3))
        faults = [Fault(at, "before", nth, ("EIO",), nth + more)]
        if is_across:
            faults.append(Fault("C7.rename", do=("EXDEV",), until=None))
        run = case.run("run", "--once", faults=faults, allowed=(0, 1))
        assert any(at in hit for hit in run.hits), f"{at} was not called {nth} times"
        case.look_after_fault()
        case.finish(again=False)


CALLS = {
    "a read of a photograph": ("pread64,read,preadv,mmap", "inbox"),
    "a sync": ("fsync,fdatasync", ""),
    "a write of the ledger": ("pwrite64", "results.db-wal"),
    "a rename": ("renameat2", ""),
}


@pytest.mark.scenario("T9", quick=4, long=400)
def test_an_error_of_the_kernel_itself_ends_in_a_pause_or_in_one_line(rounds: list[Case]) -> None:
    """Beyond Python: also what SQLite and the workers ask of the disk."""
    for case in rounds:
        what = case.pick(list(CALLS))
        calls, below = CALLS[what]
        case.run("run", "--once")
        case.drop_mixture(12)
        paths = [drop.path for drop in case.dropped] if below == "inbox" else []
        paths += [os.fsencode(case.root / below)] if below.startswith("results") else []
        nth = case.dice.randint(1, 3) if case.long else 1
        strace = under("strace", "-f", "-qq", "-o", str(case.folder / "strace.txt"),
                       "-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO:when={nth}",
                       *(word for path in paths for word in ("-P", os.fsdecode(path))))  # fmt: skip
        run = case.run("run", "--once", fresh=strace, allowed=(0, 1))
        injected = (case.folder / "strace.txt").read_text().count("(INJECTED)")
        assert injected or nth > 1, what
        case.count.faults += injected
        if what.startswith("a read") and injected:
            assert run.events("file.deferred")
            assert run.status == 1
        case.look_after_fault()
        case.finish(again=False)


@pytest.mark.scenario("T9", quick=3, long=30)
def test_who_needs_attention_is_named_though_moving_had_to_wait(rounds: list[Case]) -> None:
    for case in rounds:
        nth = case.pick([7, 8, 9])  # after the root, and five contents: folders after the moves
        case.settings |= {"batch_size": 16, "log_level": "debug"}
        for number in range(4):
            case.drop(f"grey {number}.png", case.picture(0.5))
        case.drop("torn.png", case.picture(0.97)[:-20], Answer("rejected", "truncated"))
        run = case.run("run", "--once", faults=[Fault("C8.fsync", "before", nth, ("ENOSPC",))])
        case.judge()
        named = {Path(each["name"]).name for each in run.events("file.unsure")}
        assert named == {f"grey {number}.png" for number in range(4)}
        assert len(run.events("file.rejected")) == 1


@pytest.mark.scenario("T9", quick=3, long=30)
def test_a_filed_file_that_cannot_be_read_is_named_and_the_others_are_judged_again(
    rounds: list[Case],
) -> None:
    for case in rounds:
        nth = case.pick([1, 3, 5])  # each content is read in two pieces, the second one empty
        for number in range(3):
            case.drop(f"{number}.png", case.picture(0.97))
        case.run("run", "--once")
        unread = Fault("gdwatch.files.content:os.pread", "before", nth, ("EIO",))
        run = case.run("reprocess", case.root / "male", "--json", faults=[unread])
        answer = json.loads(run.answer())
        assert (answer["failed"], answer["skipped"]) == (1, 2)
        broken = case.root / "male" / f"{nth // 2}.png"
        assert run.lines() == [f"gdwatch: {broken}: input/output error"]
        case.judge()
