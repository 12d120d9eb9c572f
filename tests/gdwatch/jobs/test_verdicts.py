"""Verdicts on many files, the names that choose them, and `undo`, in one process."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gdwatch.commands import correct as verb
from gdwatch.errors import GdwatchError, UsageError
from gdwatch.jobs import undo as undoing
from gdwatch.jobs import verdicts
from gdwatch.jobs.named_files import named_files
from gdwatch.jobs.undo import Undone
from gdwatch.jobs.verdicts import Corrected, VerdictOptions
from gdwatch.values import Verdict
from tests import build
from tests.gdwatch.conftest import World, asking


def filed(world: World, **names: Any) -> None:
    """Filed photographs, by name, with their outcomes."""
    for name, outcome in names.items():
        world.record_file(f"trip/{name}.jpg", name.encode(), outcome)
    world.file()


def correct(
    world: World, names: Sequence[object], verdict: Verdict | None, **options: bool
) -> Corrected:
    with asking(world, "correct", *map(str, names)) as asked:
        given = (asked.ledger, asked.folders, asked.settings)
        named = named_files(*given, map(str, names))
        done = verdicts.correct(*given, named.rows, VerdictOptions(verdict, **options))
        done.refused = named.refused + done.refused
        return done


def undo(world: World, *, dry_run: bool = False) -> Undone:
    with asking(world, "undo") as asked:
        return undoing.undo(asked.ledger, asked.folders, asked.settings, dry_run=dry_run)


def shown(world: World) -> dict[str, tuple[Any, ...]]:
    """By name: path, reason and the person's word."""
    asked = "SELECT name, path, reason, corrected FROM current_results"
    return {
        row["name"][:-4]: (row["path"], row["reason"], row["corrected"])
        for row in build.query(world.root, asked)
    }


def state(world: World) -> tuple[Any, ...]:
    return shown(world), build.contents(world.root), {row["state"] for row in world.rows()}


@pytest.mark.parametrize(
    ("verdict", "path", "reason"),
    [
        ("female", "female/trip/a.jpg", None),
        ("male", "male/trip/a.jpg", None),
        ("neither", "unsure/trip/a.jpg", "by_hand"),
        ("reject", "rejected/trip/a.jpg", "by_hand"),
    ],
)
def test_each_verdict_has_its_folder(
    world: World, verdict: Verdict, path: str, reason: str | None
) -> None:
    filed(world, a="male")
    assert correct(world, [1], verdict).refused == []
    assert shown(world) == {"a": (path, reason, verdict)}
    assert list(build.contents(world.root)) == [path]


def test_a_word_on_an_unsure_file_that_it_is_neither_changes_its_reason_alone(world: World) -> None:
    filed(world, a="unsure")
    correct(world, [1], "neither")
    assert shown(world) == {"a": ("unsure/trip/a.jpg", "by_hand", "neither")}


def test_ids_paths_and_folders_name_files_each_once(world: World, tmp_path: Path) -> None:
    filed(world, a="male", b="unsure", c="unsure")
    names = [1, world.root / "unsure", "unsure/trip/b.jpg", "inbox/trip/a.jpg"]
    done = correct(world, names, "female")
    assert done.refused == []
    assert [row.id for row in done.rows] == [1, 2, 3]
    assert {path for path, _, _ in shown(world).values()} == {
        f"female/trip/{name}.jpg" for name in "abc"
    }


def test_names_that_are_none_do_not_stop_the_others(world: World, tmp_path: Path) -> None:
    filed(world, a="male", b="male")
    (world.root / "male" / "trip" / "b.jpg").unlink()
    done = correct(world, ["nowhere.jpg", 99, tmp_path, 2, 1], "female")
    assert [row.id for row in done.rows] == [1]
    said = "\n".join(map(str, done.refused))
    for part in ("nowhere.jpg: not in the ledger", "id 99", "not an answer folder", "taken away"):
        assert part in said


def test_a_thousand_take_few_transactions(world: World) -> None:
    drops = [world.drop(f"{number:04}.jpg", b"%d" % number) for number in range(600)]
    world.record(*(world.judged(path, "unsure") for path in drops))
    world.file()
    done = correct(world, [world.root / "unsure"], "male")
    assert len(done.rows) == 600
    assert len(list((world.root / "male").iterdir())) == 600
    assert build.query(world.root, "SELECT count(*) AS n FROM moves WHERE why = 'correct'") == [
        {"n": 600}
    ]


def test_a_broken_file_is_refused_unless_forced(world: World) -> None:
    filed(world, a="rejected")
    done = correct(world, [1], "male")
    assert "no photograph that can be read (truncated); --force" in str(done.refused[0])
    assert correct(world, [1], "reject").refused == []
    assert correct(world, [1], "male", force=True).refused == []
    assert shown(world) == {"a": ("male/trip/a.jpg", None, "male")}


def test_a_dry_run_records_nothing(world: World) -> None:
    filed(world, a="male")
    before = state(world)
    assert [row.id for row in correct(world, [1], "female", dry_run=True).rows] == [1]
    assert state(world) == before
    assert build.query(world.root, "SELECT * FROM corrections") == []


def test_changed_bytes_are_nobodys_word(world: World) -> None:
    filed(world, a="male")
    (world.root / "male" / "trip" / "a.jpg").write_bytes(b"b")
    assert "its bytes are not those that were judged" in str(correct(world, [1], "female").refused)


def test_a_hand_move_is_noted_before_a_command_that_names_the_file(world: World) -> None:
    filed(world, a="unsure")
    (world.root / "unsure" / "trip" / "a.jpg").rename(world.root / "male" / "x.jpg")
    correct(world, [1], "female")
    words = build.query(world.root, "SELECT label, how FROM corrections ORDER BY id")
    assert [tuple(row.values()) for row in words] == [("male", "hand"), ("female", "command")]
    assert list(build.contents(world.root)) == ["female/trip/a.jpg"]


def test_the_verdict_comes_last() -> None:
    assert verb.split(["1", "a b.jpg", "neither"], undo=False) == (["1", "a b.jpg"], "neither")
    assert verb.split(["1", "2"], undo=True) == (["1", "2"], None)
    for words in (["1"], ["male", "1"], []):
        with pytest.raises(UsageError, match="female, male, neither or reject"):
            verb.split(words, undo=False)


# ------------------------------------------------------------------------- undo


def test_undo_takes_a_whole_command_back(world: World) -> None:
    filed(world, a="male", b="unsure", c="rejected", d="female")
    correct(world, [1], "neither")
    before = state(world)
    correct(world, [1, 2, 4], "male")
    assert state(world) != before
    undone = undo(world)
    assert undone.command == "correct 1 2 4"
    assert undone.back == {
        "male/trip/a.jpg": "unsure/trip/a.jpg",
        "male/trip/b.jpg": "unsure/trip/b.jpg",
        "male/trip/d.jpg": "female/trip/d.jpg",
    }
    assert state(world) == before
    moves = build.query(world.root, "SELECT count(*) AS n FROM moves WHERE why = 'undo'")
    assert moves == [{"n": 3}]


def test_undo_goes_back_further_each_time_and_ends(world: World) -> None:
    filed(world, a="male")
    states = [state(world)]
    for verdict in ("female", "neither", "reject"):
        correct(world, [1], verdict)  # type: ignore[arg-type]
        states.append(state(world))
    for expected in reversed(states[:-1]):
        undo(world)
        assert state(world) == expected
    with pytest.raises(GdwatchError, match="no command is left to take back"):
        undo(world)


def test_undo_leaves_what_a_person_has_moved_since(world: World) -> None:
    filed(world, a="male", b="male", c="male")
    correct(world, [1, 2, 3], "female")
    (world.root / "female" / "trip" / "a.jpg").rename(world.root / "unsure" / "a.jpg")
    (world.root / "female" / "trip" / "b.jpg").rename(world.root / "b.jpg")
    with asking(world, "check") as asked:
        from gdwatch.filing import found_files

        path = os.fsencode(world.root / "unsure" / "a.jpg")
        found_files.settle(asked.ledger, asked.folders, asked.settings, [path])
    undone = undo(world)
    assert undone.left == {
        "unsure/a.jpg": "moved or corrected since",
        "female/trip/b.jpg": "taken away since",
    }
    assert shown(world)["c"] == ("male/trip/c.jpg", None, None)
    assert shown(world)["a"] == ("unsure/a.jpg", "by_hand", "neither")


def test_a_dry_run_of_undo_says_what_it_would_take_back(world: World) -> None:
    filed(world, a="male")
    correct(world, [1], "female")
    before = state(world)
    assert undo(world, dry_run=True).back == {"female/trip/a.jpg": "male/trip/a.jpg"}
    assert state(world) == before
