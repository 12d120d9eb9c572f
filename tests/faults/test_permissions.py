"""No permission, read-only (T8), another user (T26), other people's folders in the inbox (T31)."""

import json
import os
import signal
from itertools import product
from pathlib import Path

import pytest

from tests.build import wait_until
from tests.faults.case import Case
from tests.faults.launch import Fault
from tests.faults.surroundings import (
    another_user,
    give_to_nobody,
    heals,
    pauses,
    read_only,
    ready,
    refused,
    status,
    stop,
    wait_for,
)  # fmt: skip
from tests.faults.toy import Answer

FOLDERS = ("inbox", "male", "rejected", "female", "unsure")
ANSWERS = {"male": 0.97, "female": 0.03, "unsure": 0.5}


def drop_one_of_each(case: Case) -> None:
    for name, p_male in ANSWERS.items():
        case.drop(f"{len(case.dropped)}-{name}.png", case.picture(p_male))
    case.drop(f"{len(case.dropped)}.txt", b"no picture", Answer("rejected", "not_an_image"))


# ------------------------------------------------------------------------- a folder of ours


@pytest.mark.scenario("T8", quick=3, long=40, on_disk=True)
def test_a_folder_that_can_no_longer_be_written_pauses_and_nothing_is_rejected(
    rounds: list[Case],
) -> None:
    for case in rounds:
        how, folder = case.pick(list(product(("immutable", "mode", "mount"), FOLDERS)))
        run = ready(case, before=[give_to_nobody(case)] if how == "mode" else [])
        run.send(signal.SIGSTOP)
        run.wait_until_stopped()
        drop_one_of_each(case)
        with read_only(case.root / folder, how):
            run.send(signal.SIGCONT)
            told = pauses(case, run, "inbox_readonly", "folder_readonly")
            assert told["state"] == "paused"
            assert told["reason"] == run.events("service.paused")[-1]["reason"]
        heals(case, run)
        case.judge()


@pytest.mark.parametrize("folder", ["inbox", "male"])
def test_a_folder_mounted_read_only_pauses_for_one_reason_and_heals(
    case: Case, folder: str
) -> None:
    third = Fault("gdwatch.service.pause:PauseState.pause", nth=3, do=())
    run = ready(case, faults=[third])
    run.send(signal.SIGSTOP)
    run.wait_until_stopped()
    case.drop("male.png", case.picture(0.97))
    with read_only(case.root / folder, "mount"):
        run.send(signal.SIGCONT)
        wait_until(lambda: run.hits)
        pauses(case, run, "inbox_readonly", "folder_readonly")
    heals(case, run)
    assert len({each["reason"] for each in run.events("service.paused")}) == 1
    case.judge()


@pytest.mark.scenario("T8", quick=3, long=20, on_disk=True)
def test_what_cannot_be_written_at_the_start_stops_it(rounds: list[Case]) -> None:
    places = ("results.db", "inbox", ".gdwatch", "male", ".", "unsure")
    for case in rounds:
        drop_one_of_each(case)
        case.run("run", "--once")
        drop_one_of_each(case)
        place = case.pick(places)
        with read_only(case.root / place, "immutable"):
            before = case.look()
            run = case.start("run", allowed=(78,))
            refused(case, run, place.removeprefix("."))
            assert case.look() == before
        case.finish()


# ------------------------------------------------------------------------- another user


COMMANDS = (
    ("run", "--once"), ("requeue", "1"), ("correct", "1", "female"), ("db", "upgrade"),
    ("reprocess", "male"), ("db", "check"),
)  # fmt: skip


@pytest.mark.scenario("T26", quick=4, long=10)
def test_another_user_may_look_but_not_touch(rounds: list[Case]) -> None:
    for case in rounds:
        drop_one_of_each(case)
        case.run("run", "--once")
        command = case.pick(COMMANDS)
        if case.number % 2:  # root at the root of another
            give_to_nobody(case)
            before = []
        else:
            before = [another_user(case)]
        case.drop("later.png")
        run = case.start(*command, before=before, allowed=(78,))
        refused(case, run)
        asked = case.run("status", "--json", before=before)
        assert '"filed":4' in asked.answer().replace(" ", "")
        for path in (case.root, *case.root.rglob("*")):
            os.chown(path, 0, 0)
        case.finish()


def test_a_root_that_may_not_be_looked_into_is_said_in_one_line(case: Case) -> None:
    case.run("run", "--once")
    nobody = another_user(case)
    case.root.chmod(0o700)
    refused(case, case.start("run", before=[nobody], allowed=(78,)), "permission denied")


def test_a_lock_left_behind_by_another_user_is_said_in_one_line(case: Case) -> None:
    case.run("run", "--once")
    nobody = give_to_nobody(case)
    lock = case.root / ".gdwatch" / "lock"
    os.chown(lock, 0, 0)  # as of somebody who ran it as root
    told = f"{lock}: belongs to root, and cannot be written; remove it"
    refused(case, case.start("run", before=[nobody], allowed=(78,)), told)
    doctor = case.run("doctor", "--json", before=[nobody], allowed=(78,))
    (found,) = (each for each in json.loads(doctor.answer())["findings"] if each["name"] == "root")
    assert found["remedy"] == f"sudo rm {lock}"


# ------------------------------------------------------------------------- in the inbox


@pytest.mark.scenario("T31", quick=3, long=20)
def test_other_peoples_folders_and_files_stay_and_are_named_once(rounds: list[Case]) -> None:
    for case in rounds:
        folder, mode = case.pick([(0o755, 0o644), (0o755, 0o600), (0o700, 0o644), (0o1777, 0o644)])
        before = [give_to_nobody(case)]
        case.settings["rescan_s"] = 0.2
        theirs = case.drop("theirs/a.png", ends="waiting")
        theirs.chmod(mode)
        theirs.parent.chmod(folder)
        private = case.drop("private.png", ends="waiting")
        private.chmod(0o600)
        run = ready(case, before=before)
        wait_for(run, "inbox.skipped", 2)
        for number in range(3):  # the inbox is listed again for each
            case.drop(f"{number}.png")
            case.wait_until_filed(run)
        named = [Path(each["name"]).name for each in run.events("inbox.skipped")]
        assert sorted(named) in (["a.png", "private.png"], ["private.png", "theirs"])
        assert all("setfacl" in each["hint"] or "read and write" in each["hint"]
                   for each in run.events("inbox.skipped"))  # fmt: skip
        told = status(case)
        assert told["state"] == "running"
        assert len(told["skipped"]) == 2
        assert set(told["skipped"].values()) == {"permission"}
        case.count.faults += 2
        theirs.parent.chmod(0o777)
        for path in (theirs, private):
            path.chmod(0o644)
        for number in range(2):
            case.change(number, ends="filed")
        case.wait_until_filed(run)
        wait_until(lambda case=case: not status(case)["skipped"])
        stop(run)
        case.judge()
