"""`correct`, `requeue` and `reprocess --move` killed, beside a service and alone (T33)."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from tests import build
from tests.faults import oracle
from tests.faults.case import Case
from tests.faults.launch import Fault
from tests.faults.toy import answer_to

_KILLED = -9
_POINTS = ("W.see", "W.filed", "C6.commit", "C7.move", "C7.rename", "C8.sync", "C9.mark")
_AGAIN = ("requeue", "reprocess")


@pytest.fixture(scope="module")
def contrary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that says the contrary of the toy model."""
    return build.model_file(
        tmp_path_factory.mktemp("contrary") / "contrary.safetensors",
        name="contrary",
        recipe={"stub": "contrary"},
    )


def filed(case: Case) -> None:
    """A root with six filed photographs, of every label."""
    for number in range(6):
        case.drop(f"{number}.png")
    case.run("run", "--once")


def words(verb: str, case: Case) -> list[str | Path]:
    if verb == "requeue":
        return [verb, *(str(row["id"]) for row in case.rows())]
    return [verb, "--move", case.root]


def expect_contrary(case: Case, contrary: Path) -> None:
    """From now on the other model's answers are the right ones."""
    case.model_sha256.append(build.sha256(contrary.read_bytes()))
    case.dropped = [
        replace(drop, answer=answer_to(1 - drop.answer.p_male)) for drop in case.dropped
    ]


@pytest.mark.scenario("T33", quick=2, long=70)
def test_a_judging_command_killed_anywhere_can_be_repeated(
    rounds: Iterator[Case], contrary: Path
) -> None:
    sweep = list(product(_AGAIN, (*_POINTS, "W.wish", "W.current"), ("before", "after"), (1, 3)))
    for case in rounds:
        verb, at, when, nth = case.pick(sweep)
        filed(case)
        given = words(verb, case)
        how = {"model": contrary, "batch_size": 2}
        faults = [Fault(at, when, nth, may_miss=True)]
        case.run(*given, faults=faults, allowed=(_KILLED, 0), **how)
        case.model_sha256.append(build.sha256(contrary.read_bytes()))
        case.run("run", "--once")  # whatever was wished is done
        assert not [row for row in case.rows() if row["state"] == "recorded"]
        case.run(*given, **how)
        expect_contrary(case, contrary)
        case.finish()
        assert results(case) == 12


@pytest.mark.scenario("T33", quick=1, long=40)
def test_a_judging_command_beside_a_service_that_is_killed_gets_its_wish(
    rounds: Iterator[Case], contrary: Path
) -> None:
    sweep = list(product(_AGAIN, ("C7.move", "C7.rename", "C8.sync", "C9.mark"),
                         ("before", "after"), (1, 2)))  # fmt: skip
    for case in rounds:
        verb, at, when, nth = case.pick(sweep)
        filed(case)
        faults = [Fault(at, when, nth, may_miss=True)]
        service = case.start("run", faults=faults, allowed=(_KILLED,))
        case.run(*words(verb, case), model=contrary, batch_size=6)
        if not service.ends_within(0.0):  # the command was quicker: nothing was left to be hit
            service.kill()
        case.count.kills += 1
        expect_contrary(case, contrary)
        case.look_after_fault()
        case.finish()
        assert results(case) == 12


@pytest.mark.scenario("T33", quick=2, long=60)
def test_a_correction_killed_anywhere_is_made_once_or_not_at_all(rounds: Iterator[Case]) -> None:
    sweep = list(product((*_POINTS, "W.correct", "W.wish"), ("before", "after"), (1, 2)))
    for case in rounds:
        at, when, nth = case.pick(sweep)
        filed(case)
        row = next(row for row in case.rows() if row["outcome"] == "male")
        given = ("correct", str(row["id"]), "female")
        faults = [Fault(at, when, nth, may_miss=True)]
        killed = case.run(*given, faults=faults, allowed=(_KILLED, 0))
        case.look_after_fault()
        made = oracle.read_ledger(case.root / "results.db").corrected
        if killed.status == _KILLED and not made:
            case.run(*given)
        case.finish()
        assert oracle.read_ledger(case.root / "results.db").corrected == {row["id"]: "female"}
        assert corrections(case) == 1


@pytest.mark.scenario("T33", quick=1, long=30)
def test_a_correction_beside_a_service_that_is_killed_is_made_once(
    rounds: Iterator[Case],
) -> None:
    sweep = list(product(("C7.move", "C7.rename", "C8.sync", "C9.mark"), ("before", "after")))
    for case in rounds:
        at, when = case.pick(sweep)
        filed(case)
        row = next(row for row in case.rows() if row["outcome"] == "male")
        service = case.start("run", faults=[Fault(at, when, may_miss=True)], allowed=(_KILLED,))
        case.run("correct", str(row["id"]), "female")
        if not service.ends_within(0.0):
            service.kill()
        case.count.kills += 1
        case.finish()
        assert corrections(case) == 1


@pytest.mark.scenario("T33", quick=2, long=40)
def test_an_undo_killed_anywhere_takes_all_back_or_nothing(rounds: Iterator[Case]) -> None:
    sweep = list(product((*_POINTS, "W.undo"), ("before", "after"), (1, 2)))
    for case in rounds:
        at, when, nth = case.pick(sweep)
        filed(case)
        before = [(row["id"], row["outcome"], row["reason"]) for row in case.rows()]
        ids = [str(row["id"]) for row in case.rows()]
        case.run("correct", *ids, "neither")
        faults = [Fault(at, when, nth, may_miss=True)]
        case.run("undo", faults=faults, allowed=(_KILLED, 0))
        words = set(oracle.read_ledger(case.root / "results.db").corrected.values())
        assert words in ({None}, {"neither"})
        if words == {"neither"}:
            case.run("undo")
        case.finish()
        assert [(row["id"], row["outcome"], row["reason"]) for row in case.rows()] == before


@pytest.mark.scenario("T33", quick=1, long=20)
def test_a_hand_move_is_noted_once_whoever_is_killed(rounds: Iterator[Case]) -> None:
    sweep = list(product(("W.hand", "C6.commit"), ("before", "after"), (1, 2, 3)))
    for case in rounds:
        at, when, nth = case.pick(sweep)
        filed(case)
        row = next(row for row in case.rows() if row["outcome"] == "male")
        moved = case.root / "female" / "by hand.png"
        (case.root / row["path"]).rename(moved)
        faults = [Fault(at, when, nth, may_miss=True)]
        case.run("db", "check", "--mark", faults=faults, allowed=(_KILLED, 0))
        case.run("db", "check", "--mark")
        assert moved.exists()
        assert oracle.read_ledger(case.root / "results.db").corrected == {row["id"]: "female"}
        assert corrections(case) == 1
        moved.rename(case.root / "male" / moved.name)  # the oracle knows of no hands
        case.judged = True


def results(case: Case) -> int:
    return len(oracle.read_ledger(case.root / "results.db").results)


def corrections(case: Case) -> int:
    return len(build.query(case.root, "SELECT id FROM corrections"))
