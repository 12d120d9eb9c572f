import os
from dataclasses import replace
from pathlib import Path

import pytest

from gdwatch.commands.correct import correct
from gdwatch.commands.requeue import requeue
from gdwatch.errors import GdwatchError
from gdwatch.files import content
from gdwatch.filing import move_requests, placement
from gdwatch.jobs.rejudge import RejudgeOptions, Rejudging
from gdwatch.jobs.verdicts import VerdictOptions
from gdwatch.ledger.transaction import result_row
from gdwatch.root import lock
from gdwatch.root.folder_handles import Handles
from gdwatch.values import Decision
from tests import build
from tests.gdwatch.conftest import World


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """One whose commands do not wait long for a service."""
    (world.folders.state / "root-id").write_text("a-root\n")
    monkeypatch.setattr(move_requests.file_or_wait, "__defaults__", (0.0,))
    return world


def test_a_correction_of_a_file_whose_mover_was_killed_finds_it_where_it_is(world: World) -> None:
    entry = world.record_file("a.jpg")
    os.rename(entry.source, entry.target)  # killed here: moved, but not marked
    correct(world.settings, [str(entry.id)], None, None, VerdictOptions("female"))
    row = world.row(entry.id)
    assert (row["state"], row["path"]) == ("filed", "female/a.jpg")
    assert build.contents(world.root) == {"female/a.jpg": row["sha256"]}


def test_a_file_that_a_service_is_moving_is_not_sent_elsewhere_meanwhile(world: World) -> None:
    entry = world.record_file("a.jpg")
    before = world.row(entry.id)
    with lock.hold(world.folders.state):
        for wish in (
            lambda: correct(world.settings, [str(entry.id)], None, None, VerdictOptions("female")),
            lambda: requeue(world.settings, [str(entry.id)], None, None, json_=False),
        ):
            with pytest.raises(GdwatchError, match=f"id {entry.id}: is being moved; try again"):
                wish()
    assert world.row(entry.id) == before
    assert build.query(world.root, "SELECT * FROM corrections") == []
    assert world.file().filed == [entry.id]


def test_a_file_sent_elsewhere_while_it_was_looked_at_is_not_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = world.record_file("a.jpg")
    world.file()
    other = replace(world.serving, sha256="other", name="other")
    with (
        world.ledger.writing() as transaction
    ):  # another model has said `female`, and is asked again
        judged = world.judged(Path(os.fsdecode(entry.target)), "female")
        model_id = transaction.model_id(other)
        transaction.insert_results(
            [result_row(entry.id, replace(judged, model=other), model_id, None)]
        )
    digest = content.digest

    def sent_meanwhile(descriptor: int) -> str:
        with Handles(world.folders) as handles, world.ledger.writing() as transaction:
            decision = Decision("unsure", "blurred")
            placement.send(transaction, handles, transaction.row(entry.id), decision, "tree")
        return digest(descriptor)

    monkeypatch.setattr(content, "digest", sent_meanwhile)
    rejudging = Rejudging(
        world.ledger, world.folders, world.settings, RejudgeOptions(move=True), lambda *_: None
    )
    assert list(rejudging._opened(iter([entry.target]), [other])) == []
    assert world.row(entry.id)["path"] == "unsure/a.jpg"
    assert rejudging.tally.to_move == []
