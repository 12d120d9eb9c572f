"""Files that change, meet their like, or come again (T12 to T15), with and without a kill."""

import os
from collections.abc import Iterator
from itertools import product

import pytest

from tests import build
from tests.faults.case import Case
from tests.faults.launch import Fault, call
from tests.faults.toy import Answer

_CHANGED_LATE = Answer("unsure", "changed_late")


# ------------------------------------------------------------------------- T12


@pytest.mark.scenario("T12", quick=4, long=60)
def test_a_kill_while_a_completed_file_is_judged_again_loses_nothing(
    rounds: Iterator[Case],
) -> None:
    points = list(product(("A.note", "A.ready", "A.record", "C5.choose", "C6.results", "C6.commit",
                           "C7.rename", "C8.sync", "C9.mark"), ("before", "after")))  # fmt: skip
    for case in rounds:
        case.drop("whole.png")
        halves = [case.drop_half(f"{p}.png", case.picture(p)) for p in (0.97, 0.03)]
        case.run("run", "--once")
        for half in halves:
            case.complete(half)
        run = case.run("run", "--once", faults=[Fault(*case.pick(points))], allowed=(-9,))
        assert run.status == -9
        case.finish()
        lie = {row["original_path"]: row["path"] for row in case.rows()}
        assert lie["inbox/0.97.png"] == "male/0.97.png"
        assert lie["inbox/0.03.png"] == "female/0.03.png"


# ------------------------------------------------------------------------- T13


@pytest.mark.scenario("T13", quick=3, long=70)
def test_a_file_changed_after_it_was_read_goes_to_unsure(rounds: Iterator[Case]) -> None:
    points = [
        (at, when, how)
        for at, when in (("C6.record", "before"), ("C6.record", "after"), ("C7.move", "before"),
                         ("C7.move", "after"), ("C3.open", "after"))
        for how in ("append", "overwrite", "truncate")
    ]  # fmt: skip
    for case in rounds:
        at, when, how = case.pick(points)
        path = case.drop("changed.png")
        target = case.root / _folder(case) / "changed.png"
        there = target if (at, when) == ("C7.move", "after") else path
        fault = Fault(at, when, do=(call("tests.faults.acts:write", path=str(there), how=how),))
        case.run("run", "--once", faults=[fault])
        (filed,) = [row for row in case.rows() if row["name"] == "changed.png"]
        lies = case.root / filed["path"]
        status = lies.stat()
        case.change(
            0,
            sha256=build.sha256(lies.read_bytes()),
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            answer=_CHANGED_LATE,
        )
        case.finish()


def _folder(case: Case) -> str:
    return str(case.dropped[-1].answer.outcome)


@pytest.mark.scenario("T13", quick=1, long=30)
def test_a_file_changed_while_nobody_looked_is_a_new_drop(rounds: Iterator[Case]) -> None:
    for case in rounds:
        path = case.drop("changed.png")
        case.run("run", "--once", faults=[Fault("C6.record", "after")], allowed=(-9,))
        path.write_bytes(case.picture(0.97))
        case.change(0, ends="taken")  # its own writer has overwritten it
        case.note(path, None)
        case.finish()
        assert [row["state"] for row in case.rows()] == ["missing", "filed"]


@pytest.mark.scenario("T13", quick=1, long=20)
def test_a_folder_renamed_while_it_is_judged_leaves_one_row_for_each_photograph(
    rounds: Iterator[Case],
) -> None:
    calls = (("C3.open", 9), ("C5.decide", 9), ("C6.record", 1), ("C7.move", 9))
    points = [(at, when, nth) for at, nth in calls for when in ("before", "after")]
    for case in rounds:
        case.settings |= {"batch_size": 8, "workers": 2}
        places = [case.drop(f"old/{number:03}.png") for number in range(480 if case.long else 40)]
        old, new = case.inbox / "old", case.inbox / "new"
        act = call("tests.faults.acts:rename", path=str(old), to=str(new))
        case.run("run", "--once", faults=[Fault(*case.pick(points), do=(act,))])
        case.run("run", "--once")
        rows = case.rows()
        assert len(rows) == len(places)
        assert {(row["state"], row["duplicate_of"]) for row in rows} == {("filed", None)}
        case.before = {at: thing for at, thing in case.before.items() if b"/old/" not in at}
        for at, row in enumerate(sorted(rows, key=lambda row: row["name"])):
            case.change(at, path=os.fsencode(case.root / row["original_path"]))
        case.finish()
        assert not [each for run in case.runs for each in run.events() if each["level"] == "error"]


# ------------------------------------------------------------------------- T14


@pytest.mark.scenario("T14", quick=1, long=25)
def test_a_name_dropped_again_while_its_first_file_is_under_way(rounds: Iterator[Case]) -> None:
    points = [
        ("C7.move", "after"),
        ("C8.sync", "before"),
        ("C9.mark", "after"),
        ("C9.filed", "after"),
    ]
    for case in rounds:
        path = case.drop("same.png", case.picture(0.97))
        second = case.folder / "second.png"
        second.write_bytes(case.picture(0.98))
        overwrite = call("tests.faults.acts:overwrite", path=str(path), source=str(second))
        fault = Fault(*case.pick(points), do=(overwrite,))
        assert case.run("run", "--once", faults=[fault]).hits
        if path.exists():
            case.note(path, Answer("male", None, "male", 0.98))
        case.finish()
        assert [row["path"] for row in case.rows()] == ["male/same.png", "male/same~2.png"]


@pytest.mark.scenario("T14", quick=1, long=25)
def test_a_dropper_who_overwrites_his_own_file_under_way_loses_only_that(
    rounds: Iterator[Case],
) -> None:
    points = [("C5.decide", "before"), ("C6.record", "before"), ("C6.record", "after"),
              ("C7.move", "before")]  # fmt: skip
    for case in rounds:
        at, when = case.pick(points)
        path = case.drop("same.png", case.picture(0.97))
        second = case.folder / "second.png"
        second.write_bytes(case.picture(0.98))
        fault = Fault(
            at, when, do=(call("tests.faults.acts:overwrite", path=str(path), source=str(second)),)
        )
        case.run("run", "--once", faults=[fault], allowed=(0, 1))
        if (at, when) in (("C6.record", "after"), ("C7.move", "before")):
            case.change(0, ends="taken")
        else:  # what its path no longer leads to gets no row
            del case.dropped[0]
        case.note(path, Answer("male", None, "male", 0.98))
        case.finish()


@pytest.mark.scenario("T14", quick=2, long=50)
def test_a_name_that_a_person_takes_is_left_to_them(rounds: Iterator[Case]) -> None:
    points = [("C5.choose", "before"), ("C6.record", "after"), ("C7.move", "before"),
              ("C7.rename", "before")]  # fmt: skip
    for case in rounds:
        at, when = case.pick(points)
        case.drop("same.png", case.picture(0.97))
        case.drop("other.png", case.picture(0.03))
        theirs = case.root / "male" / "same.png"
        put_there = Fault(at, when, do=(call("tests.faults.acts:put_there", target=str(theirs)),))
        when = case.dice.choice(("before", "after"))
        # Who comes early is seen when the name is chosen, and nothing is sent elsewhere.
        kill = [Fault("C7.elsewhere", when, may_miss=True)] * case.dice.choice((0, 1))
        case.run("run", "--once", faults=[put_there, *kill], allowed=(0, -9))
        case.before |= {os.fsencode(theirs): case.look()[os.fsencode(theirs)]}
        case.finish()
        assert theirs.read_text() == "mine"


# ------------------------------------------------------------------------- T15


@pytest.mark.scenario("T15", quick=3, long=50)
def test_the_same_content_twice_is_two_rows_and_the_second_names_the_first(
    rounds: Iterator[Case],
) -> None:
    points = [None, ("C6.record", "before"), ("C6.record", "after"), ("C7.move", "after"),
              ("C8.sync", "after"), ("C9.mark", "before")]  # fmt: skip
    for case in rounds:
        point = case.pick(points)
        content = case.picture(0.97)
        case.drop("a.png", content)
        case.drop("b.png", content, mtime_ns=case.dropped[0].mtime_ns)
        faults = [Fault(*point)] if point else []
        case.run("run", "--once", faults=faults, allowed=(-9,) if point else (0,))
        case.run("run", "--once")
        case.drop("a.png", content, mtime_ns=case.dropped[0].mtime_ns + 1)  # again, after filing
        case.finish()
        first, *others = case.rows()
        assert len(others) == 2
        assert {row["duplicate_of"] for row in others} == {first["id"]}
