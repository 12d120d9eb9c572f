"""Half photographs that are completed in `rejected/`: each is judged again, and once."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from gdwatch.ledger.transaction import now
from gdwatch.service.completed_files import CompletedFiles
from gdwatch.values import Outcome
from tests import build
from tests.gdwatch.conftest import World

WHOLE = b"a photograph"
SETTLE_S = 3.0  # more than settle_ms


def rejected(world: World, name: str = "trip/a.jpg", content: bytes = WHOLE[:5]) -> Path:
    world.record_file(name, content, "rejected")
    world.file()
    return world.root / "rejected" / name


def handed_out(world: World, path: Path, files: CompletedFiles | None = None) -> list[bytes]:
    """What is to be judged of this file, once it has settled."""
    files = files or CompletedFiles(world.settings, world.folders, world.ledger)
    files.note([os.fsencode(path)], 0.0)
    assert files.ready(9, 0.0) == []
    return [drop.path for drop in files.ready(9, SETTLE_S)]


def judge_again(world: World, path: Path, outcome: Outcome = "male", **settings: object) -> None:
    world.record(world.judged(path, outcome), **settings)
    world.file()


def results(world: World) -> list[tuple[str, str | None]]:
    found = build.query(world.root, "SELECT outcome, reason FROM results ORDER BY id")
    return [(row["outcome"], row["reason"]) for row in found]


def moves(world: World) -> list[tuple[str, str]]:
    found = build.query(world.root, "SELECT from_path, to_path FROM moves ORDER BY id")
    return [(row["from_path"], row["to_path"]) for row in found]


def test_what_was_completed_is_handed_out_once(world: World) -> None:
    files = CompletedFiles(world.settings, world.folders, world.ledger)
    path = rejected(world)
    assert handed_out(world, path, files) == []
    path.write_bytes(WHOLE)
    assert handed_out(world, path, files) == [os.fsencode(path)]
    assert handed_out(world, path, files) == []


def test_what_still_has_a_writer_waits_until_it_is_closed(world: World) -> None:
    files = CompletedFiles(world.settings, world.folders, world.ledger)
    path = rejected(world)
    with path.open("ab") as writer:
        writer.write(WHOLE[5:])
        writer.flush()
        assert handed_out(world, path, files) == []
    assert [drop.path for drop in files.ready(9, 2 * SETTLE_S)] == [os.fsencode(path)]


def test_what_goes_on_changing_waits(world: World) -> None:
    files = CompletedFiles(world.settings, world.folders, world.ledger)
    path = rejected(world)
    path.write_bytes(WHOLE[:7])
    files.note([os.fsencode(path)], 0.0)
    path.write_bytes(WHOLE)
    assert files.ready(9, SETTLE_S) == []
    assert len(files.ready(9, 2 * SETTLE_S)) == 1


def test_what_is_emptied_and_filled_again_is_handed_out(world: World) -> None:
    files = CompletedFiles(world.settings, world.folders, world.ledger)
    path = rejected(world)
    path.write_bytes(WHOLE[:7])
    files.note([os.fsencode(path)], 0.0)
    path.write_bytes(b"")
    assert files.ready(9, SETTLE_S) == []
    path.write_bytes(WHOLE)
    assert handed_out(world, path, files) == [os.fsencode(path)]


def test_a_single_run_finds_what_was_completed_and_leaves_what_has_a_writer(world: World) -> None:
    done, half = rejected(world), rejected(world, "trip/b.jpg", WHOLE[:4])
    done.write_bytes(WHOLE)
    files = CompletedFiles(world.settings, world.folders, world.ledger, once=True)
    with half.open("ab") as writer:
        writer.write(WHOLE[4:])
        writer.flush()
        files.list_once(0.0)
        assert files.waiting == 2
        assert [drop.path for drop in files.ready(9, SETTLE_S)] == [os.fsencode(done)]
    files.list_once(SETTLE_S)  # it has been listed
    assert files.waiting == 0


def touched(world: World, path: Path) -> None:
    os.utime(path, ns=(1, 1))


def emptied(world: World, path: Path) -> None:
    path.write_bytes(b"")


def a_day_later(world: World, path: Path) -> None:
    path.write_bytes(WHOLE)
    with world.ledger.writing() as transaction:
        transaction.update(1, recorded_at=now() - timedelta(days=1, seconds=1))


def corrected(world: World, path: Path) -> None:
    path.write_bytes(WHOLE)
    with world.ledger.writing() as transaction:
        transaction.correct([1], "reject", "me")


def of_another_kind(world: World, path: Path) -> None:
    path.write_bytes(WHOLE)
    with world.ledger.writing() as transaction:
        transaction.update(1, reason="unsupported_format")


def sent_elsewhere(world: World, path: Path) -> None:
    path.write_bytes(WHOLE)
    with world.ledger.writing() as transaction:
        source = transaction.text(os.fsencode(path))
        transaction.update(1, state="recorded", source_path=source)


@pytest.mark.parametrize(
    "change", [touched, emptied, a_day_later, corrected, of_another_kind, sent_elsewhere]
)
def test_other_changes_are_left(world: World, change: Callable[[World, Path], None]) -> None:
    path = rejected(world)
    change(world, path)
    assert handed_out(world, path) == []


def test_the_row_follows_the_bytes_and_the_first_decision_stays(world: World) -> None:
    path = rejected(world)
    path.write_bytes(WHOLE)
    judge_again(world, path)
    (row,) = world.rows()
    assert (row["state"], row["path"]) == ("filed", "male/trip/a.jpg")
    assert (row["original_path"], row["reason"]) == ("inbox/trip/a.jpg", None)
    assert (row["sha256"], row["size_bytes"]) == (build.sha256(WHOLE), len(WHOLE))
    assert results(world) == [("rejected", "truncated"), ("male", None)]
    assert moves(world)[1:] == [("rejected/trip/a.jpg", "male/trip/a.jpg")]
    assert build.contents(world.root) == {"male/trip/a.jpg": build.sha256(WHOLE)}


def test_what_is_still_rejected_stays_with_its_new_hash(world: World) -> None:
    path = rejected(world)
    path.write_bytes(WHOLE[:9])
    judge_again(world, path, "rejected")
    (row,) = world.rows()
    assert (row["path"], row["state"]) == ("rejected/trip/a.jpg", "filed")
    assert row["sha256"] == build.sha256(WHOLE[:9])
    assert len(results(world)) == 2
    assert len(moves(world)) == 1
    assert handed_out(world, path) == []


def test_a_file_with_the_bytes_of_its_row_gets_no_second_decision(world: World) -> None:
    path = rejected(world)
    touched(world, path)
    judge_again(world, path)
    assert len(results(world)) == 1
    assert path.is_file()


def test_what_a_person_has_said_of_meanwhile_gets_no_decision(world: World) -> None:
    path = rejected(world)
    corrected(world, path)
    judge_again(world, path)
    assert len(results(world)) == 1
    assert path.is_file()


def test_a_completed_copy_of_what_is_filed_is_a_duplicate(world: World) -> None:
    path = rejected(world)
    first = world.record_file("b.jpg", WHOLE)
    world.file()
    path.write_bytes(WHOLE)
    judge_again(world, path, duplicates="reject")
    row = world.row(1)
    assert (row["path"], row["reason"]) == ("rejected/trip/a.jpg", "duplicate")
    assert row["duplicate_of"] == first.id
