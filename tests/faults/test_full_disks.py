"""Disks without room: of the answers (T5), of the ledger (T6), of everything."""

import os
import signal
from collections.abc import Callable

import pytest

from tests.faults import toy
from tests.faults.case import Case
from tests.faults.launch import Fault
from tests.faults.surroundings import heals, pauses, ready, small_disk

Remount = Callable[[str], None]
_LARGE = "size=16m,nr_inodes=2000"


@pytest.mark.scenario("T5", quick=2, long=40)
def test_an_answer_folder_without_room_or_inodes_pauses_until_there_is_some(
    rounds: list[Case],
) -> None:
    for case in rounds:
        options = case.pick(["size=256k", "size=4m,nr_inodes=5"])
        with small_disk(case.root / "male", options) as remount:
            for number in range(8):  # 48 KiB each
                serial = case.number * 100 + number
                case.drop(f"{number}.bmp", toy.picture(serial, 0.97, "BMP", 128))
            case.drop("other.png", case.picture(0.03))
            run = case.start("run", batch_size=case.pick([1, 3, 16]))
            told = pauses(case, run, "disk_full")
            assert (told["state"], told["reason"]) == ("paused", "disk_full")
            remount(_LARGE)
            heals(case, run)
            case.finish()


@pytest.mark.scenario("T5", quick=1, long=10)
def test_a_start_on_a_full_answer_folder_leaves_the_rest_in_the_inbox(rounds: list[Case]) -> None:
    for case in rounds:
        with small_disk(case.root / "male", "size=256k") as remount:
            for number in range(8):
                serial = 50_000 + case.number * 100 + number
                case.drop(f"{number}.bmp", toy.picture(serial, 0.97, "BMP", 128))
            run = case.start("run")
            pauses(case, run, "disk_full")
            run.send(signal.SIGTERM)  # a pause ends as work does
            assert run.wait() == 0, run.text()
            case.look_after_fault()
            case.count.faults += 1
            remount(_LARGE)
            case.finish()


def fill(case: Case, remount: Remount) -> None:
    """Take all room that is left on the disk of the root."""
    status = os.statvfs(case.root)
    remount(f"size={(status.f_blocks - status.f_bfree) * status.f_frsize}")


def on_a_disk_of_its_own(case: Case) -> None:
    for name in ("inbox", "female", "male", "unsure", "rejected"):
        (case.root / name).mkdir()
    case._aside = case.root / "aside"
    case._aside.mkdir()
    case.settings["min_free_mb"] = 0  # it is to meet the full disk itself


@pytest.mark.scenario("T6", quick=2, long=35)
def test_a_full_disk_of_the_ledger_pauses_and_nothing_is_moved(rounds: list[Case]) -> None:
    for case in rounds:
        with small_disk(case.root, _LARGE) as remount:
            on_a_disk_of_its_own(case)
            case.settings["batch_size"] = 16
            case.run("run", "--once")
            case.drop_mixture(20)
            at = case.pick(["C6.record", "C6.insert", "C9.mark"])
            run = case.start("run", faults=[Fault(at, "before", do=("SIGSTOP",))])
            run.wait_until_stopped()
            fill(case, remount)
            moved = set(case.look()) - set(case.before)
            run.send(signal.SIGCONT)
            told = pauses(case, run, "database_full", "database_io", "disk_full")
            assert told["state"] == "paused"
            assert at == "C9.mark" or set(case.look()) - set(case.before) == moved
            remount(_LARGE)
            heals(case, run)
            case.finish()


@pytest.mark.scenario("T6", quick=1, long=15)
def test_a_start_on_a_full_disk_waits_for_room(rounds: list[Case]) -> None:
    for case in rounds:
        with small_disk(case.root, _LARGE) as remount:
            on_a_disk_of_its_own(case)
            case.run("run", "--once")
            case.drop_mixture(12)
            fill(case, remount)
            run = case.start("run")
            told = pauses(case, run, "database_full", "database_io")
            assert told["state"] == "paused"
            remount(_LARGE)
            heals(case, run)
            case.finish()


def test_a_disk_below_its_floor_pauses_until_there_is_room(case: Case) -> None:
    with small_disk(case.root, "size=8m") as remount:
        on_a_disk_of_its_own(case)
        run = ready(case, min_free_mb=4)
        fill(case, remount)
        told = pauses(case, run, "disk_low")
        assert told["reason"] == "disk_low"
        remount(_LARGE)
        case.drop("a.png")
        heals(case, run)
        case.judge()
