"""Files that people move or put back: their rows follow, and nothing is guessed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gdwatch.filing import found_files, placement
from gdwatch.filing.found_files import FoundFile
from gdwatch.ledger.ledger import Command
from gdwatch.ledger.opening import open_ledger
from gdwatch.root.folder_handles import Handles
from gdwatch.values import Decision
from tests import build
from tests.gdwatch.conftest import World, world_at


@pytest.fixture
def world(root: Path) -> Iterator[World]:
    """A world whose ledger was opened by a command, as always but in small tests."""
    with world_at(root) as made:
        made.ledger.close()
        made.ledger = open_ledger(made.settings, "a-root", Command("run", "", "me"), serve=True)
        made.stack.callback(made.ledger.close)
        yield made


def settle(world: World, *paths: Path, **settings: Any) -> list[FoundFile]:
    """Look at these files, by default at all in the answer folders."""
    chosen = paths or [world.root / path for path in build.contents(world.root)]
    names = [os.fsencode(path) for path in chosen if "inbox" not in path.parts]
    others = world.settings.model_copy(update=settings)
    return found_files.settle(world.ledger, world.folders, others, sorted(names))


def filed(world: World, name: str = "a.jpg", content: bytes = b"a photograph",
          outcome: Any = "unsure") -> Path:  # fmt: skip
    world.record_file(name, content, outcome)
    world.file()
    return world.root / outcome / name


def move(path: Path, target: str) -> Path:
    there = path.parents[1] / target
    there.parent.mkdir(parents=True, exist_ok=True)
    path.rename(there)
    return there


def words(world: World) -> list[tuple[Any, ...]]:
    asked = "SELECT file_id, label, how FROM corrections ORDER BY id"
    return [tuple(row.values()) for row in build.query(world.root, asked)]


def owner() -> str:
    import getpass

    return getpass.getuser()


@pytest.mark.parametrize(
    ("target", "word", "reason"),
    [("female", "female", None), ("male", "male", None), ("rejected", "reject", "by_hand")],
)
def test_a_file_moved_to_another_answer_folder_is_a_persons_word(
    world: World, target: str, word: str, reason: str | None
) -> None:
    move(filed(world), f"{target}/sorted/b.jpg")
    settle(world)
    (row,) = world.rows()
    assert (row["state"], row["path"]) == ("filed", f"{target}/sorted/b.jpg")
    assert (row["outcome"], row["reason"]) == (target, reason)
    assert words(world) == [(1, word, "hand")]
    assert [row["by"] for row in build.query(world.root, "SELECT by FROM corrections")] == [owner()]
    (shown,) = build.query(world.root, "SELECT corrected, label FROM current_results")
    assert shown == {"corrected": word, "label": "male"}
    last = build.query(world.root, "SELECT from_path, to_path, why FROM moves ORDER BY id")[-1]
    assert tuple(last.values()) == ("unsure/a.jpg", f"{target}/sorted/b.jpg", "hand")


def test_a_second_look_finds_nothing_more(world: World) -> None:
    move(filed(world), "female/a.jpg")
    assert len(settle(world)) == 1
    before = world.rows()
    assert settle(world) == []
    assert world.rows() == before
    assert len(words(world)) == 1


def test_a_file_moved_within_its_folder_is_followed_without_a_word(world: World) -> None:
    move(filed(world), "unsure/later/a.jpg")
    settle(world)
    assert (world.row(1)["path"], world.row(1)["reason"]) == (
        "unsure/later/a.jpg",
        "low_confidence",
    )
    assert words(world) == []


def test_dragged_back_to_unsure_a_word_is_taken_back(world: World) -> None:
    path = move(filed(world), "female/a.jpg")
    settle(world)
    move(path, "unsure/a.jpg")
    settle(world)
    assert (world.row(1)["outcome"], world.row(1)["reason"]) == ("unsure", "low_confidence")
    assert words(world) == [(1, "female", "hand"), (1, None, "hand")]


def test_dragged_to_unsure_against_the_model_nobody_is_asked_again(world: World) -> None:
    move(filed(world, outcome="male"), "unsure/a.jpg")
    settle(world)
    assert (world.row(1)["outcome"], world.row(1)["reason"]) == ("unsure", "by_hand")
    assert words(world) == [(1, "neither", "hand")]


@pytest.mark.parametrize(("how", "path"), [("follow", "male/b.jpg"), ("ignore", "unsure/a.jpg")])
def test_by_the_setting_a_move_is_no_word(world: World, how: str, path: str) -> None:
    move(filed(world), "male/b.jpg")
    settle(world, hand_moves=how)
    assert world.row(1)["path"] == path
    assert words(world) == []


@pytest.mark.parametrize("how", ["correct", "ignore"])
def test_a_missing_file_that_is_back_has_all_that_belongs_to_it(world: World, how: str) -> None:
    path = filed(world)
    with world.ledger.writing() as transaction:
        transaction.correct([1], "neither", "erika")
    before = world.row(1)
    path.rename(world.root / "aside.jpg")
    with world.ledger.writing() as transaction:
        transaction.mark_missing([transaction.row(1)])
    assert settle(world) == []
    (world.root / "aside.jpg").rename(path)
    settle(world, hand_moves=how)
    assert world.rows() == [before]
    assert words(world) == [(1, "neither", "command")]


def test_a_missing_file_that_is_put_back_elsewhere_is_found_by_its_bytes(world: World) -> None:
    path = filed(world)
    path.rename(world.root / "aside.jpg")
    with world.ledger.writing() as transaction:
        transaction.mark_missing([transaction.row(1)])
    (world.root / "aside.jpg").rename(world.root / "male" / "anna.jpg")
    settle(world)
    assert (world.row(1)["state"], world.row(1)["path"]) == ("filed", "male/anna.jpg")


def test_a_copy_of_a_file_that_is_there_is_nobodys_word(world: World) -> None:
    path = filed(world)
    (world.root / "female" / "a.jpg").write_bytes(path.read_bytes())
    assert settle(world) == []
    path.unlink()  # now it is: copied, then removed, as between two disks
    assert len(settle(world)) == 1


def test_other_bytes_of_the_same_name_and_size_are_another_file(world: World) -> None:
    filed(world).unlink()
    (world.root / "female" / "a.jpg").write_bytes(b"another one!")
    assert settle(world) == []


def test_of_two_with_the_same_bytes_each_is_known_by_its_name_or_not_at_all(world: World) -> None:
    first, second = filed(world, "a.jpg"), filed(world, "b.jpg")
    move(first, "female/a.jpg")
    move(second, "male/b.jpg")
    settle(world)
    assert [row["path"] for row in world.rows()] == ["female/a.jpg", "male/b.jpg"]
    move(world.root / "female" / "a.jpg", "rejected/x.jpg")
    move(world.root / "male" / "b.jpg", "rejected/y.jpg")
    before = world.rows()
    assert settle(world) == []
    assert world.rows() == before


def test_two_copies_of_one_file_are_not_guessed_at(world: World) -> None:
    path = filed(world)
    for folder in ("female", "male"):
        (world.root / folder / "a copy.jpg").write_bytes(path.read_bytes())
    path.unlink()
    assert settle(world) == []


def test_while_a_whole_folder_is_away_no_copy_is_taken_for_its_files(world: World) -> None:
    path = filed(world)
    copy = world.root / "male" / "copy.jpg"
    copy.write_bytes(path.read_bytes())
    (world.root / "unsure").rename(world.root / "aside")
    assert settle(world, copy) == []
    assert not (world.root / "unsure").exists()


def test_a_file_on_its_way_by_a_command_is_left_to_it(world: World) -> None:
    path = filed(world)
    with Handles(world.folders) as handles, world.ledger.writing() as transaction:
        placement.send(transaction, handles, transaction.row(1), Decision("female", None), "tree")
    moved = move(path, "male/a.jpg")
    assert settle(world) == []
    assert world.file().missing == [1]  # it is nowhere that the command knows of
    settle(world)
    assert (world.row(1)["state"], world.row(1)["path"]) == ("filed", "male/a.jpg")
    assert moved.exists()


def test_a_row_that_has_changed_since_it_was_looked_at_does_not_follow(world: World) -> None:
    path = move(filed(world), "female/a.jpg")
    found = found_files.look(world.ledger, world.folders, world.settings, [os.fsencode(path)])
    with world.ledger.writing() as transaction:
        transaction.update(1, reason="blurred")
    assert found_files.follow(world.ledger, world.folders, world.settings, found) == []
    assert words(world) == []
