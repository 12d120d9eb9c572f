"""A second service (T28), the inbox or the root's id gone (T29), answers taken away (T32)."""

import os
import shutil
import signal

import pytest

from tests.build import wait_until
from tests.faults import toy
from tests.faults.case import Case
from tests.faults.launch import Fault, Run, call
from tests.faults.surroundings import (
    heals,
    pauses,
    ready,
    refused,
    skip_unless_allowed,
    small_disk,
    status,
    stop,
    under,
)
from tests.faults.toy import Answer

# ------------------------------------------------------------------------- a second service

PAUSE = "gdwatch.service.pause:PauseState._sleep"


@pytest.mark.scenario("T28", quick=3, long=30)
def test_a_second_service_is_turned_away_and_a_killed_one_is_no_obstacle(
    rounds: list[Case],
) -> None:
    for case in rounds:
        run = ready(case, batch_size=3, allowed=(-9,))
        other = case.pick([{}, {"database": f"sqlite:///{case.folder}/other.db"}, {"workers": 2}])
        second = case.start("run", allowed=(75,), **other)
        line = refused(case, second, "another gdwatch holds this root", status=75)
        assert f"process {run.pid}" in line
        assert not (case.folder / "other.db").exists()
        case.drop_mixture(12)
        run.kill()
        case.count.kills += 1
        assert (case.root / ".gdwatch" / "lock").exists()  # stale, and nobody's
        assert status(case)["state"] == "stopped"
        case.finish()


# ------------------------------------------------------------------------- the inbox gone


@pytest.mark.scenario("T29", quick=1, long=15)
def test_an_inbox_that_is_renamed_away_is_waited_for_and_not_made_anew(rounds: list[Case]) -> None:
    for case in rounds:
        run = ready(case)
        away = case.root / "away"
        case.inbox.rename(away)
        told = pauses(case, run, "inbox_missing")
        assert (told["reason"], told["waiting"]) == ("inbox_missing", None)
        assert not case.inbox.exists()
        if case.number % 2:
            case.inbox.mkdir()
        else:
            away.rename(case.inbox)
        case.drop_mixture(6)
        heals(case, run)
        assert run.events("watch.started")[1:], "events are used again after the pause"
        case.judge()


@pytest.mark.scenario("T29", quick=1, long=15)
def test_an_inbox_whose_disk_is_unmounted_is_waited_for(rounds: list[Case]) -> None:
    for case in rounds:
        with small_disk(case.inbox, "size=16m"):
            aside = case._aside = case.inbox / ".aside"
            aside.mkdir()
            run = ready(case)
            run.send(signal.SIGSTOP)
            run.wait_until_stopped()
            case.drop_mixture(6)
            shutil.copytree(case.inbox, case.folder / "kept", copy_function=shutil.copy2)
        before = case.look()
        run.send(signal.SIGCONT)
        pauses_without_files(case, run)
        assert case.look() == before
        with small_disk(case.inbox, "size=16m"):
            shutil.copytree(case.folder / "kept", case.inbox, dirs_exist_ok=True,
                            copy_function=shutil.copy2)  # fmt: skip
            heals(case, run)
            case.judge()


BOUND = 'mount --bind "$0" "$1" && shift && exec "$@"'


def test_an_inbox_whose_bind_mount_is_gone_is_waited_for(case: Case) -> None:
    """Its device is that of what it was mounted on."""
    disk, inbox = case.folder / "disk", case.inbox
    disk.mkdir()
    skip_unless_allowed("unshare", "-rm", "mount", "--bind", disk, inbox)
    beneath = case.drop("beneath.png", ends="waiting")
    for number in range(3):
        path = disk / f"{number}.png"
        path.write_bytes(content := case.picture())
        case.note(path, toy.answer_of(content))
        case.change(1 + number, path=os.fsencode(inbox / path.name))
    case.before = case.look()
    bound = under("unshare", "-rm", "sh", "-c", BOUND, str(disk), str(inbox))
    away = call("tests.faults.acts:unmount", path=str(inbox))
    back = call("tests.faults.acts:mount", disk=str(disk), path=str(inbox))
    run = case.start("run", fresh=bound, faults=[
        Fault("C1.list", do=(away,), nth=2), Fault(PAUSE, do=(back,)),
    ])  # fmt: skip
    heals(case, run)
    (paused,) = run.events("service.paused")
    assert paused["reason"] == "inbox_missing"
    assert beneath.exists()
    case.judge()


def test_an_inbox_that_was_mounted_on_for_a_while_is_itself_again(case: Case) -> None:
    disk, inbox = case.folder / "disk", case.inbox
    disk.mkdir()
    skip_unless_allowed("unshare", "-rm", "mount", "--bind", disk, inbox)
    away = call("tests.faults.acts:unmount", path=str(inbox))
    over = call("tests.faults.acts:mount", disk=str(disk), path=str(inbox))
    look = "gdwatch.intake.inbox:Inbox._require_usable"
    faults = [Fault(look, do=(over,), nth=2), Fault(look, do=(away,), nth=3)]
    run = case.start("run", fresh=("unshare", "-rm"), faults=faults)
    wait_until(lambda: len(run.hits) == 2)
    case.drop_mixture(4)
    case.wait_until_filed(run)
    assert not run.events("service.paused")
    stop(run)
    case.judge()


def test_a_disk_mounted_after_the_start_is_waited_for_once_its_files_were_taken(case: Case) -> None:
    disk, inbox = case.folder / "disk", case.inbox
    disk.mkdir()
    skip_unless_allowed("unshare", "-rm", "mount", "--bind", disk, inbox)
    path = disk / "a.png"
    path.write_bytes(content := case.picture(0.97))
    case.note(path, toy.answer_of(content))
    case.change(0, path=os.fsencode(inbox / path.name))
    over = call("tests.faults.acts:mount", disk=str(disk), path=str(inbox))
    away = call("tests.faults.acts:unmount", path=str(inbox))
    run = case.start("run", fresh=("unshare", "-rm"), faults=[
        Fault("gdwatch.intake.inbox:Inbox._require_usable", do=(over,), nth=2),
        Fault("gdwatch.service.filer:Filer._tell_filed", do=(away,)),
        Fault("gdwatch.service.pause:PauseState._sleep", do=(over,)),
    ])  # fmt: skip
    heals(case, run)
    assert [each["reason"] for each in run.events("service.paused")] == ["inbox_missing"]
    case.judge()


def pauses_without_files(case: Case, run: Run) -> None:
    """The files are on the disk that is gone: the judge would miss them."""
    dropped, case.dropped = case.dropped, []
    told = pauses(case, run, "inbox_missing")
    assert told["state"] == "paused"
    case.dropped = dropped


@pytest.mark.scenario("T29", quick=2, long=10)
def test_a_root_id_that_is_gone_or_another_stops_the_start(rounds: list[Case]) -> None:
    for case in rounds:
        case.drop_mixture(4)
        case.run("run", "--once")
        marker = case.root / ".gdwatch" / "root-id"
        own = marker.read_text()
        if case.number % 2:
            marker.unlink()
        else:
            marker.write_text("00000000-0000-4000-8000-000000000000\n")
        case.drop("later.png")
        refused(case, case.start("run", allowed=(78,)), "root-id", "is the right disk mounted?")
        marker.write_text(own)
        case.finish()


# ------------------------------------------------------------------------- answers taken away


def by_hand(case: Case, how: str) -> None:
    """What a person does to the answer `male/a.png`, which is the first drop's."""
    filed, elsewhere = case.root / "male" / "a.png", case.folder / "elsewhere.png"
    theirs = filed
    match how:
        case "taken":
            filed.rename(elsewhere)
            case.change(0, ends="taken")
            return
        case "put back":
            filed.rename(elsewhere)
            elsewhere.rename(filed)
            return
        case "replaced":
            filed.write_bytes(b"a person's own")
            case.change(0, ends="taken")
        case "copied":  # as `cp -p` does, to a name that is wanted next
            theirs = filed.with_name("b.png")
            shutil.copy2(filed, theirs)
    path = os.fsencode(theirs)
    case.before = {**case.before, path: case.look()[path]}


@pytest.mark.scenario("T32", quick=4, long=50)
def test_answers_that_people_take_put_back_and_replace_harm_nobody(rounds: list[Case]) -> None:
    for case in rounds:
        how = case.pick(["taken", "put back", "replaced", "copied"])
        case.drop("a.png", case.picture(0.97))
        case.run("run", "--once")
        by_hand(case, how)
        case.drop("a.png", case.picture(0.97))
        case.drop("b.png", case.picture(0.97))
        case.drop("c.txt", b"none", Answer("rejected", "not_an_image"))
        case.run("run", "--once")
        case.count.faults += 1
        rows = {row["original_path"]: row for row in case.rows()}
        first, again, beside = case.rows()[0], rows["inbox/a.png"], rows["inbox/b.png"]
        if how == "taken":  # and its path is free again
            assert (first["state"], again["path"]) == ("missing", "male/a.png")
        else:
            assert (first["state"], again["path"]) == ("filed", f"male/a~{again['id']}.png")
        if how == "copied":
            assert beside["path"] == f"male/b~{beside['id']}.png"
        case.finish()
