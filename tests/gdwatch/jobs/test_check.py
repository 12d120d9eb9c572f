import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from gdwatch.errors import GdwatchError
from gdwatch.filing import placement
from gdwatch.jobs import check
from gdwatch.ledger.transaction import Transaction
from gdwatch.root.folder_handles import Handles
from gdwatch.values import Decision
from tests.gdwatch.conftest import World


def compare(world: World, *ignored: str) -> check.Comparison:
    settings = world.settings.model_copy(update={"ignore": ignored})
    return check.compare(world.ledger, world.folders, settings)


def mark(world: World, *, force: bool = False) -> None:
    check.mark(world.ledger, world.folders, world.settings, compare(world), force=force)


def missing(world: World) -> list[str]:
    return [world.ledger.text(row.path) for row in compare(world).missing]


def without_row(world: World, *ignored: str) -> list[str]:
    return [world.ledger.text(path) for path in compare(world, *ignored).without_row]


def put(world: World, path: str) -> Path:
    target = world.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.encode())
    return target


def file_many(world: World, count: int) -> list[Path]:
    drops = (world.drop(f"{number:03}.jpg", b"photograph %d" % number) for number in range(count))
    world.record(*map(world.judged, drops))
    world.file()
    return [world.root / "male" / f"{number:03}.jpg" for number in range(count)]


@contextmanager
def told_to(world: World, event: str) -> Iterator[list[str]]:
    """What the database is told meanwhile: statements, or commits."""
    told: list[str] = []

    def noted(*given: object) -> None:
        told.append(str(given[2]) if len(given) > 2 else event)

    sa.event.listen(world.ledger.engine, event, noted)
    try:
        yield told
    finally:
        sa.event.remove(world.ledger.engine, event, noted)


def test_each_file_of_an_answer_folder_has_a_row_or_is_named_in_the_order_of_the_walk(
    world: World,
) -> None:
    file_many(world, 2)
    for path in ("male/b.jpg", "male/a/z.jpg", "female/c.jpg", "male/.hidden", "unsure/x/.y/d.jpg"):
        put(world, path)
    put(world, "inbox/waits.jpg")
    assert without_row(world, ".*") == ["female/c.jpg", "male/a/z.jpg", "male/b.jpg"]


def test_a_file_that_is_on_its_way_elsewhere_has_a_row(world: World) -> None:
    (path,) = file_many(world, 1)
    with Handles(world.folders) as handles, world.ledger.writing() as transaction:
        row = transaction.row(1)
        placement.send(transaction, handles, row, Decision("unsure", "blurred"), "tree")
    assert path.exists()
    assert without_row(world) == []


def test_a_file_that_is_filed_elsewhere_while_it_is_looked_for_is_not_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(world, "male/a.jpg")
    at = Transaction.at

    def moved_meanwhile(transaction: Transaction, paths: set[bytes]) -> object:
        if path.exists() and os.fsencode(path) in paths:
            path.rename(world.root / "aside.jpg")
        return at(transaction, paths)

    monkeypatch.setattr(Transaction, "at", moved_meanwhile)
    assert without_row(world) == []


def test_pages_end_anywhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = file_many(world, 5)
    strays = [f"male/stray {number}.jpg" for number in range(5)]
    for stray in strays:
        put(world, stray)
    for path in paths[1:4]:
        path.unlink()
    monkeypatch.setattr(check, "_PAGE", 2)
    assert without_row(world) == strays
    taken = [f"male/{path.name}" for path in paths[1:4]]
    assert missing(world) == taken
    assert {row["state"] for row in world.rows()} == {"filed"}  # to look changes nothing
    mark(world)
    assert missing(world) == taken
    assert [row["state"] for row in world.rows()] == ["filed", *["missing"] * 3, "filed"]


def test_many_files_are_asked_for_in_few_questions_and_without_the_write_lock(world: World) -> None:
    for number in range(1200):
        put(world, f"male/{number:04}.jpg")
    with told_to(world, "before_cursor_execute") as statements:
        assert len(without_row(world)) == 1200
    assert 0 < len(statements) < 40
    assert not any("IMMEDIATE" in statement for statement in statements)


def test_many_rows_are_marked_in_few_transactions(world: World) -> None:
    for path in file_many(world, 600)[1:]:
        path.unlink()
    compared = compare(world)
    with told_to(world, "commit") as commits:
        check.mark(world.ledger, world.folders, world.settings, compared, force=False)
    assert len(commits) == 2
    assert [row["state"] for row in world.rows()].count("missing") == 599


@pytest.mark.parametrize("how", ["away", "empty"])
def test_where_a_whole_folder_is_away_nothing_is_marked_unless_forced(
    world: World, how: str
) -> None:
    world.record_file("female.jpg", b"other", "female")
    file_many(world, 3)
    (world.root / "male").rename(world.root / "aside")
    (world.root / "female" / "female.jpg").unlink()
    put(world, "female/stray.jpg")
    if how == "empty":  # as a mount point is without its disk
        (world.root / "male").mkdir()
    before = world.rows()
    with pytest.raises(GdwatchError, match="male: the whole folder is away, or empty"):
        mark(world)
    assert world.rows() == before
    assert (world.root / "male").exists() == (how == "empty")
    mark(world, force=True)
    assert {row["state"] for row in world.rows()} == {"missing"}
    assert missing(world) == ["female/female.jpg", *(f"male/00{number}.jpg" for number in range(3))]


def test_a_row_that_was_marked_is_filed_again_once_its_file_is_back(world: World) -> None:
    path, _ = file_many(world, 2)
    path.rename(world.root / "aside.jpg")
    mark(world)
    assert world.row(1)["state"] == "missing"
    (world.root / "aside.jpg").rename(path)
    assert [each.is_back for each in compare(world).found] == [True]
    assert without_row(world) == missing(world) == []
    mark(world)
    assert world.row(1)["state"] == "filed"
    assert compare(world) == check.Comparison()


def test_a_file_moved_by_hand_is_named_and_noted_when_it_is_marked(world: World) -> None:
    path, _ = file_many(world, 2)
    path.rename(world.root / "female" / path.name)
    (found,) = compare(world).found
    assert (found.row.id, world.ledger.text(found.path)) == (1, "female/000.jpg")
    assert missing(world) == without_row(world) == []
    mark(world)
    assert (world.row(1)["path"], world.row(1)["outcome"]) == ("female/000.jpg", "female")


def test_a_row_whose_file_is_below_none_of_todays_folders_is_missing(world: World) -> None:
    file_many(world, 1)
    with world.ledger.writing() as transaction:
        transaction.update(1, path="elsewhere/a.jpg")
    assert missing(world) == ["elsewhere/a.jpg"]
    assert os.listdir(world.root / "male") == ["000.jpg"]
