"""Photographs that stay in the inbox or are put back there, with kills at every step (T34)."""

import json
import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests import build
from tests.faults.case import Case
from tests.faults.launch import Fault
from tests.faults.test_kill import put_on_two_devices

_KILLED = -9
_FILES = 6
_STEPS = ("C6.record", "C6.commit", "C7.move", "C8.sync", "C9.mark", "C9.remember")
_OF_A_COPY = ("X1.open", "X2.write", "X3.fsync", "X4.link")
_OF_A_RESTORE = ("W.restore", "W.see", "W.filed", "C7.rename", "C9.restored")
_WHENS = ("before", "after")
COPIES = Fault("C7.rename", do=("EXDEV",), until=None, may_miss=True)


def dropped(case: Case) -> dict[Path, tuple[Any, ...]]:
    """Photographs in the inbox, with what must never change of each."""
    for number in range(_FILES):
        case.drop(f"trip/{number}.png")
    return seen(case)


def seen(case: Case) -> dict[Path, tuple[Any, ...]]:
    return {
        path: (path.read_bytes(), (status := path.stat()).st_mtime_ns, status.st_mode)
        for path in case.inbox.rglob("*.png")
    }


def answers(case: Case) -> list[str]:
    """What lies in the answer folders: its hashes, sorted."""
    there = build.contents(case.root)
    return sorted(sha256 for path, sha256 in there.items() if not path.startswith("inbox/"))


def hashes(originals: dict[Path, tuple[Any, ...]]) -> list[str]:
    return sorted(build.sha256(content) for content, *_ in originals.values())


@pytest.mark.scenario("T34", quick=4, long=80)
def test_originals_stay_and_are_filed_once_whenever_the_service_is_killed(
    rounds: Iterator[Case],
) -> None:
    of_each = {
        "copy": (*_STEPS, "C7.copy", *_OF_A_COPY),
        "link": (*_STEPS, "C7.second"),
    }
    sweep = [
        (mode, *cell) for mode, steps in of_each.items() for cell in product(steps, _WHENS, (1, 2))
    ]
    for case in rounds:
        mode, at, when, nth = case.pick(sweep)
        case.settings |= {"mode": mode, "batch_size": 3}
        originals = dropped(case)
        faults = [Fault(at, when, nth, may_miss=True)]
        case.run("run", "--once", faults=faults, allowed=(_KILLED, 0))
        assert seen(case) == originals
        for _ in range(2):
            case.run("run", "--once")
            assert seen(case) == originals
            assert [row["state"] for row in case.rows()] == ["filed"] * _FILES
            assert answers(case) == hashes(originals)
        case.judged = True  # the oracle knows files under one name only


@pytest.mark.scenario("T34", quick=4, long=80)
def test_a_restore_killed_anywhere_loses_nothing_and_can_be_repeated(
    rounds: Iterator[Case],
) -> None:
    steps = (*_OF_A_RESTORE, "C6.commit", "C7.move", "C8.sync", "C9.remember")
    sweep = [
        *product(("",), (False,), steps, _WHENS, (1, 2)),
        *product(("to",), (False, True), steps, _WHENS, (1, 2)),
        *product(("",), (True,), _OF_A_COPY, _WHENS, (1, 2)),
    ]
    for case in rounds:
        to, copies, at, when, nth = case.pick(sweep)
        originals = dropped(case)
        case.run("run", "--once")
        back = case.folder / "back"
        words = ("restore", *((f"--to={back}",) if to else ()))
        others = [COPIES] if copies else []
        faults = [*others, Fault(at, when, nth, may_miss=True)]
        case.run(*words, faults=faults, allowed=(_KILLED, 0))
        case.run("run", "--once", faults=others)  # what was asked for is done, nothing is taken
        case.run(*words, faults=others)
        case.run("run", "--once")
        if to:
            assert list(seen(case)) == []
            assert sorted(build.sha256(path.read_bytes()) for path in back.rglob("*.png")) == (
                hashes(originals)
            )
        else:
            assert seen(case) == originals
        assert answers(case) == []
        assert [row["restored_to"] is not None for row in case.rows()] == [True] * _FILES
        case.judged = True


@pytest.mark.scenario("T34", quick=2, long=40)
def test_a_restore_beside_a_service_that_is_killed_is_done_once(rounds: Iterator[Case]) -> None:
    steps = ("C7.move", "C7.rename", "C8.sync", "C9.restored", "C9.remember")
    for case in rounds:
        at, when = case.pick(list(product(steps, _WHENS)))
        originals = dropped(case)
        case.run("run", "--once")
        service = case.start("run", faults=[Fault(at, when, may_miss=True)], allowed=(_KILLED,))
        case.run("restore")
        if not service.ends_within(0.0):
            service.kill()
        case.count.kills += 1
        again = case.start("run", allowed=(_KILLED,))
        wait_for_states(case, {"missing"})
        assert (seen(case), answers(case)) == (originals, [])
        case.run("undo")
        wait_for_states(case, {"filed"})
        assert (seen(case), answers(case)) == ({}, hashes(originals))
        again.kill()
        case.judged = True


def test_a_running_service_takes_neither_originals_nor_what_was_put_back(case: Case) -> None:
    originals = dropped(case)
    service = case.start("run", mode="copy", rescan_s=1)
    build.wait_until(lambda: len(answers(case)) == _FILES and not recorded(case))
    changed = case.inbox / "trip" / "0.png"
    changed.write_bytes(case.picture(0.97))
    build.wait_until(lambda: len(case.rows()) == _FILES + 1 and not recorded(case))
    # Originals are where they were: there is nothing to put back but the copy of the one changed.
    first = min(row["id"] for row in case.rows() if row["name"] == "0.png")
    case.run("restore", mode="copy", allowed=(1,))
    (told,) = case.runs[-1].lines()
    assert told == (
        f"gdwatch: {changed}: another file lies there; move it away, or use --to; id "
        f"{first} stays where it is"
    )
    assert len(answers(case)) == _FILES + 1
    back = case.folder / "back"
    case.run("restore", f"--to={back}", str(first), mode="copy")
    assert [path.name for path in back.rglob("*.png")] == ["0.png"]
    looks = json.loads(case.run("status", "--json", mode="copy").answer())
    assert (looks["waiting"], looks["originals"], looks["restored"]) == (0, _FILES, 1)
    assert len(case.rows()) == _FILES + 1
    originals[changed] = seen(case)[changed]
    assert seen(case) == originals
    service.send(15)
    assert service.wait() == 0
    case.judged = True


def wait_for_states(case: Case, states: set[str]) -> None:
    build.wait_until(lambda: {row["state"] for row in case.rows()} == states)


def recorded(case: Case) -> list[Any]:
    return [row for row in case.rows() if row["state"] == "recorded"]


def test_links_between_two_file_systems_stop_the_start_with_what_to_do(
    case: Case, tmp_path: Path
) -> None:
    put_on_two_devices(case, tmp_path)
    case.drop("a.png", ends="waiting")
    run = case.run("run", "--once", mode="link", allowed=(78,))
    assert run.text().startswith("gdwatch: mode link: ")
    assert "set `mode` to copy" in run.text()
    assert os.listdir(case.inbox) == ["a.png"]
    case.judged = True
