"""What a fault hits is what the program calls: each point is reached by an undisturbed run."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import build
from tests.faults.case import Case
from tests.faults.crash_at import POINTS
from tests.faults.launch import Fault, Run

_LINKS = Fault("C7.rename", do=("EINVAL",), until=None)
_COPIES = Fault("C7.rename", do=("EXDEV",), until=None)
SINGLE = [
    each
    for at, targets in POINTS.items()
    for each in ((at,) if isinstance(targets, str) else targets)
]


def noted(*others: Fault) -> Sequence[Fault]:
    """A fault at every point that does nothing but say that it was there.

    A point of several targets is noted at each of them: hit at one, it would hide that the others
    are never called.
    """
    taken = {fault.at for fault in others}
    return [*others, *(Fault(at, do=(), may_miss=True) for at in SINGLE if at not in taken)]


def points(*runs: Run) -> set[str]:
    return {hit.split()[0] for run in runs for hit in run.hits}


@pytest.fixture
def reached(case: Case) -> set[str]:
    """The points that a first start, moves of each kind, and each command together reach."""
    runs = []
    for number, moving in enumerate(((), (_LINKS,), (_COPIES,))):
        for each in range(3):
            case.drop(f"folder/{number}-{each}.png", case.picture(0.97))
        runs.append(case.run("run", "--once", faults=noted(*moving)))
    half = case.drop_half("half.png", case.picture(0.97))
    case.run("run", "--once")
    case.complete(half)
    taken = Fault("C7.rename", do=(put_there(case, "taken.png"),))
    case.drop("taken.png", case.picture(0.97))
    runs.append(case.run("run", "--once", faults=noted(taken)))
    first, second, *_ = case.rows()
    runs.append(case.run("correct", str(first["id"]), "female", faults=noted()))
    contrary = build.model_file(
        case.folder / "contrary.safetensors", name="contrary", recipe={"stub": "contrary"}
    )
    requeue = ("requeue", str(second["id"]))
    runs.append(case.run(*requeue, faults=noted(), model=contrary))
    reprocess = ("reprocess", "--move", case.root)
    runs.append(case.run(*reprocess, faults=noted()))
    runs.append(case.run("undo", faults=noted()))
    lies = case.rows()[0]["path"]
    (case.root / lies).rename(case.root / "rejected" / "by hand.png")
    runs.append(case.run("db", "check", "--mark", faults=noted(), allowed=(0, 1)))
    for command in runs[-5:-2]:
        assert {"W.see", "W.filed"} <= points(command), command.plan.words
        assert points(command) & set(POINTS["W.wish"]), command.plan.words
    runs.append(case.run("restore", faults=noted(), allowed=(0, 1)))
    for mode in ("copy", "link"):
        case.drop(f"{mode}.png")
        runs.append(case.run("run", "--once", faults=noted(), mode=mode))
    return points(*runs)


def put_there(case: Case, name: str) -> dict[str, object]:
    from tests.faults.launch import call

    target: Path = case.root / "male" / name
    return call("tests.faults.acts:put_there", target=str(target))


def test_every_point_is_reached(reached: set[str]) -> None:
    assert sorted(set(SINGLE) - reached) == []
