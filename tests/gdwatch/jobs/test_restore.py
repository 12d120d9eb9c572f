"""Putting files back, and taking that back, in one process."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gdwatch.errors import GdwatchError
from gdwatch.filing import found_files, pending_moves
from gdwatch.jobs import restore as job
from gdwatch.jobs import undo as undoing
from gdwatch.jobs.named_files import all_files, named_files
from gdwatch.jobs.restore import Restored, RestoreOptions
from gdwatch.jobs.undo import Undone
from tests import build
from tests.gdwatch.conftest import World, asking
from tests.gdwatch.originals import ready


def filed(world: World, **names: Any) -> None:
    """Filed photographs, by name, with their outcomes."""
    for name, outcome in names.items():
        world.record_file(f"trip/{name}.jpg", name.encode(), outcome)
    world.file()


def restore(
    world: World, *names: object, to: Path | None = None, dry_run: bool = False
) -> Restored:
    with asking(world, "restore", *map(str, names)) as asked:
        given = (asked.ledger, asked.folders, asked.settings)
        named = named_files(*given, map(str, names)) if names else all_files(*given)
        options = RestoreOptions(None if to is None else os.fsencode(to), dry_run)
        done = job.restore(*given, named.rows, options)
        done.refused = named.refused + done.refused
        return done


def undo(world: World) -> Undone:
    with asking(world, "undo") as asked:
        return undoing.undo(asked.ledger, asked.folders, asked.settings, dry_run=False)


def states(world: World) -> dict[str, tuple[str, str]]:
    """By name: state and path."""
    asked = "SELECT name, state, path FROM current_results"
    return {row["name"][:-4]: (row["state"], row["path"]) for row in build.query(world.root, asked)}


def stood(world: World) -> dict[str, tuple[bytes, int, int]]:
    """Bytes, time and mode of every file below the root's folders."""
    return {
        name: ((path := world.root / name).read_bytes(), path.stat().st_mtime_ns,
               path.stat().st_mode)
        for name in build.contents(world.root)
    }  # fmt: skip


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if os.stat(elsewhere).st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm and the temporary folder are one file system")
        yield Path(elsewhere).resolve()


# ------------------------------------------------------------------------- into the inbox


def test_everything_is_put_back_as_it_was_dropped(world: World) -> None:
    names = {"a": "male", "b": "female", "c": "unsure", "d": "rejected"}
    for number, name in enumerate(names):
        path = world.drop(f"trip/{name}.jpg", name.encode())
        path.chmod(0o640)
        os.utime(path, ns=(number, 1_000_000_007 * number))
    before = stood(world)
    world.record(*(world.judged(world.root / each, names[each[-5]]) for each in before))  # type: ignore[arg-type]
    world.file()
    assert stood(world) != before
    done = restore(world)
    assert (done.refused, done.waiting, len(done.files)) == ([], 0, 4)
    assert stood(world) == before
    assert states(world) == {name: ("restored", f"inbox/trip/{name}.jpg") for name in names}
    moves = build.query(world.root, "SELECT count(*) AS n FROM moves WHERE why = 'restore'")
    assert moves == [{"n": 4}]


def test_what_was_put_back_is_not_taken_again_until_it_changes(world: World) -> None:
    filed(world, a="male", b="male")
    restore(world)
    assert ready(world) == []
    path = world.root / "inbox" / "trip" / "a.jpg"
    path.write_bytes(b"another picture")
    assert ready(world) == ["trip/a.jpg"]


def test_a_file_that_lies_at_the_original_path_is_named_and_kept(world: World) -> None:
    filed(world, a="male", b="male")
    theirs = world.drop("trip/a.jpg", b"theirs")
    done = restore(world)
    assert [each.target for each in done.files] == [os.fsencode(world.root / "inbox/trip/b.jpg")]
    assert [error.message for error in done.refused] == [f"{theirs}: another file lies there"]
    assert theirs.read_bytes() == b"theirs"
    assert states(world)["a"] == ("filed", "male/trip/a.jpg")
    assert ready(world) == ["trip/a.jpg"]


def test_a_file_that_comes_to_the_original_path_at_the_last_moment_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed(world, a="male")
    target = world.root / "inbox" / "trip" / "a.jpg"
    move = pending_moves.move.move

    def they_are_quicker(*given: Any) -> Any:
        target.write_bytes(b"theirs")
        return move(*given)

    monkeypatch.setattr(pending_moves.move, "move", they_are_quicker)
    done = restore(world)
    assert [error.message for error in done.refused] == [f"{target}: another file lies there"]
    assert target.read_bytes() == b"theirs"
    assert states(world) == {"a": ("filed", "male/trip/a.jpg")}
    assert (world.root / "male" / "trip" / "a.jpg").read_bytes() == b"a"


def test_two_files_dropped_under_one_name_are_not_put_into_one(world: World) -> None:
    world.record_file("a.jpg", b"first")
    world.file()
    world.record_file("a.jpg", b"second")
    world.file()
    done = restore(world)
    assert len(done.files) == len(done.refused) == 1
    assert sorted(map(str, build.contents(world.root))) == ["inbox/a.jpg", "male/a~2.jpg"]


def test_files_that_are_gone_or_have_changed_are_named_and_left(world: World) -> None:
    filed(world, a="male", b="male", c="male")
    (world.root / "male/trip/a.jpg").unlink()
    (world.root / "male/trip/b.jpg").write_bytes(b"edited")
    done = restore(world)
    assert [error.message.rpartition("/")[2] for error in done.refused] == [
        "a.jpg: its file has been taken away",
        "b.jpg: its bytes are not those that were dropped",
    ]
    assert list(build.contents(world.root)) == ["inbox/trip/c.jpg", "male/trip/b.jpg"]


def test_a_dry_run_says_what_it_would_do_and_does_nothing(world: World) -> None:
    filed(world, a="male")
    before = stood(world), states(world)
    (file,) = restore(world, dry_run=True).files
    assert file.target == os.fsencode(world.root / "inbox/trip/a.jpg")
    assert (stood(world), states(world)) == before
    with pytest.raises(GdwatchError, match="no command is left"):
        undo(world)


def test_folders_and_ids_choose(world: World) -> None:
    filed(world, a="male", b="female", c="unsure", d="unsure")
    restore(world, 1, world.root / "unsure")
    assert {name for name, (state, _) in states(world).items() if state == "restored"} == set("acd")


def test_what_was_put_back_is_said_to_be_so_and_not_put_back_twice(world: World) -> None:
    filed(world, a="male")
    restore(world)
    (error,) = restore(world, 1).refused
    assert str(error) == (
        "id 1: was put back, to inbox/trip/a.jpg; `gdwatch undo` takes a restore back"
    )
    assert restore(world) == Restored()


def test_a_file_that_was_put_back_and_then_into_an_answer_folder_is_filed_again(
    world: World,
) -> None:
    filed(world, a="male")
    restore(world)
    (world.root / "inbox/trip/a.jpg").rename(world.root / "female/a.jpg")
    (found,) = found_files.settle(
        world.ledger, world.folders, world.settings, [os.fsencode(world.root / "female/a.jpg")]
    )
    assert found.row.id == 1
    assert states(world) == {"a": ("filed", "female/a.jpg")}
    assert build.query(world.root, "SELECT * FROM originals") == []


def test_a_copy_of_what_was_put_back_is_not_taken_for_it(world: World) -> None:
    filed(world, a="male")
    restore(world)
    copy = world.root / "female" / "a.jpg"
    copy.write_bytes(b"a")
    given = (world.ledger, world.folders, world.settings)
    assert found_files.settle(*given, [os.fsencode(copy)]) == []
    assert states(world) == {"a": ("restored", "inbox/trip/a.jpg")}


# ------------------------------------------------------------------------- into another folder


def test_to_another_disk_and_back_bytes_and_times_stay(world: World, stick: Path) -> None:
    filed(world, a="male", b="unsure")
    before = stood(world), states(world)
    (stick / "back").mkdir()
    done = restore(world, to=stick / "back")
    assert done.refused == []
    assert build.contents(world.root) == {}
    assert {str(path.relative_to(stick)): path.read_bytes() for path in stick.rglob("*.jpg")} == {
        "back/trip/a.jpg": b"a",
        "back/trip/b.jpg": b"b",
    }
    assert states(world)["a"] == ("restored", f"{stick}/back/trip/a.jpg")
    assert len(undo(world).back) == 2
    assert (stood(world), states(world)) == before
    assert not list(stick.rglob("*.jpg"))


def test_a_full_or_missing_disk_of_theirs_leaves_the_files_filed(
    world: World, tmp_path: Path
) -> None:
    filed(world, a="male")
    done = restore(world, to=tmp_path / "gone")
    assert [error.message for error in done.refused] == [
        f"{tmp_path}/gone/trip/a.jpg: cannot be written"
    ]
    assert states(world) == {"a": ("filed", "male/trip/a.jpg")}
    assert list(build.contents(world.root)) == ["male/trip/a.jpg"]


def test_no_file_is_put_into_a_folder_of_gdwatch(world: World) -> None:
    filed(world, a="male")
    for name in ("female", "inbox/back", ".gdwatch"):
        with pytest.raises(GdwatchError, match="lies in"):
            restore(world, to=world.root / name)
    world.record_file("female/b.jpg", b"b")
    world.file()
    done = restore(world, 2, to=world.root)
    assert [error.message for error in done.refused] == [
        f"{world.root}/female/b.jpg: lies in a folder of gdwatch"
    ]


def test_a_folder_round_the_root_is_as_good_as_any_also_for_undo(world: World) -> None:
    filed(world, a="male")
    restore(world, to=world.root)
    assert (world.root / "trip/a.jpg").read_bytes() == b"a"
    assert states(world) == {"a": ("restored", "trip/a.jpg")}
    undo(world)
    assert states(world) == {"a": ("filed", "male/trip/a.jpg")}


# ------------------------------------------------------------------------- undo


def test_undo_files_again_what_was_put_back_and_leaves_what_has_changed(world: World) -> None:
    filed(world, a="male", b="unsure", c="female")
    restore(world)
    (world.root / "inbox/trip/b.jpg").write_bytes(b"edited")
    undone = undo(world)
    assert undone.back == {
        "inbox/trip/a.jpg": "male/trip/a.jpg",
        "inbox/trip/c.jpg": "female/trip/c.jpg",
    }
    assert undone.left == {"inbox/trip/b.jpg": "taken away or changed since"}
    assert states(world)["a"] == ("filed", "male/trip/a.jpg")
    assert list(build.contents(world.root)) == [
        "inbox/trip/b.jpg", "female/trip/c.jpg", "male/trip/a.jpg"
    ]  # fmt: skip
    assert ready(world) == ["trip/b.jpg"]


def test_a_file_touched_before_it_was_put_back_is_taken_back_like_any_other(world: World) -> None:
    filed(world, a="male")
    os.utime(world.root / "male/trip/a.jpg", ns=(5, 5))
    restore(world)
    undo(world)
    assert states(world) == {"a": ("filed", "male/trip/a.jpg")}
