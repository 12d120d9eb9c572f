"""What `show` finds and tells, in one process."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gdwatch.commands.show import show
from gdwatch.errors import GdwatchError
from gdwatch.filing import found_files
from tests.gdwatch.conftest import World, asking, world_at

Tell = Callable[..., str]


@pytest.fixture
def world(root: Path) -> Iterator[World]:
    with world_at(root) as made:
        (root / ".gdwatch" / "root-id").write_text("a-root")
        made.record_file("trip/a.jpg", b"first")
        made.record_file("home/a.jpg", b"second", "unsure")
        made.record_file("b.jpg", b"third")
        made.file()
        yield made


@pytest.fixture
def tell(world: World, capsys: pytest.CaptureFixture[str]) -> Tell:
    def told(which: object, *, json_: bool = False) -> str:
        show(world.settings, str(which), json_=json_)
        return capsys.readouterr().out

    return told


def test_a_name_is_enough_where_it_is_the_only_one(tell: Tell) -> None:
    assert json.loads(tell("b.jpg", json_=True))["path"] == "male/b.jpg"


def test_all_files_of_one_name_are_listed(tell: Tell) -> None:
    assert tell("a.jpg") == "1 male/trip/a.jpg filed\n2 unsure/home/a.jpg filed\n"
    candidates: list[dict[str, Any]] = json.loads(tell("a.jpg", json_=True))["candidates"]
    assert [each["id"] for each in candidates] == [1, 2]


def test_a_file_elsewhere_is_known_by_its_bytes(tell: Tell, tmp_path: Path) -> None:
    (tmp_path / "copy.jpg").write_bytes(b"third")
    assert json.loads(tell(tmp_path / "copy.jpg", json_=True))["id"] == 3
    (tmp_path / "other.jpg").write_bytes(b"fourth")
    with pytest.raises(GdwatchError, match=r"other\.jpg: not in the ledger"):
        tell(tmp_path / "other.jpg")


def test_the_story_has_every_decision_move_and_word_with_its_time(world: World, tell: Tell) -> None:
    there = world.root / "male" / "x.jpg"
    (world.root / "unsure" / "home" / "a.jpg").rename(there)
    with asking(world, "run") as asked:
        paths = [os.fsencode(there)]
        found_files.settle(asked.ledger, asked.folders, asked.settings, paths)
    lines = tell(2).splitlines()
    story = [line.partition(" UTC  ")[2] for line in lines if "UTC  " in line]
    assert story[0].startswith("decision    unsure (low_confidence), male with 0.6000, by bright")
    assert story[1] == "move        inbox/home/a.jpg → unsure/home/a.jpg, run"
    assert story[2] == "move        unsure/home/a.jpg → male/x.jpg, hand"
    assert story[3].startswith("correction  male, by hand, ")
    assert any(line.split() == ["confidence", "0.6"] for line in lines)


def test_a_missing_file_that_is_back_is_filed_again_by_a_look_at_it(
    world: World, tell: Tell
) -> None:
    with world.ledger.writing() as transaction:
        transaction.mark_missing([transaction.row(3)])
    assert json.loads(tell(3, json_=True))["state"] == "filed"
    assert world.row(3)["state"] == "filed"
