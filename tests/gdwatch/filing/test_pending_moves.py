import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from gdwatch.errors import GdwatchError, Trouble
from gdwatch.filing import copying
from gdwatch.filing.pending_moves import MoveOptions, file_entries
from gdwatch.root import folders
from tests import build
from tests.gdwatch.conftest import World, world_at


def test_a_recorded_file_is_moved_and_marked(world: World) -> None:
    entry = world.record_file("a.jpg")
    ended = world.file()
    assert (ended.filed, ended.missing, list(ended.stuck)) == ([entry.id], [], [])
    row = world.row(entry.id)
    assert (row["state"], row["source_path"]) == ("filed", None)
    assert row["filed_at"] >= row["recorded_at"]
    assert build.contents(world.root) == {"male/a.jpg": row["sha256"]}


def test_nothing_happens_the_second_time(world: World) -> None:
    entry = world.record_file("a.jpg")
    world.file()
    before = world.row(entry.id)
    assert world.file().filed == []
    assert world.row(entry.id) == before


def test_more_rows_than_are_read_at_once_are_all_filed(world: World) -> None:
    paths = [world.drop(f"{number}.jpg", b"%d" % number) for number in range(300)]
    world.record(*(world.judged(path) for path in paths))
    assert len(world.file().filed) == 300
    assert len(build.contents(world.root)) == 300
    assert build.waiting(world.root) == []


def test_what_was_recorded_just_now_is_filed_without_the_rest(world: World) -> None:
    earlier = world.record_file("a.jpg", b"1")
    entry = world.record_file("b.jpg", b"2")
    ended = file_entries(world.ledger, world.folders, world.settings.layout, [entry], MoveOptions())
    assert ended.filed == [entry.id]
    assert [world.row(each.id)["state"] for each in (earlier, entry)] == ["recorded", "filed"]


def test_a_row_sent_elsewhere_since_it_was_recorded_is_filed_there_in_the_end(
    world: World,
) -> None:
    entry = world.record_file("a.jpg")
    with world.ledger.writing() as transaction:
        transaction.update(entry.id, path="female/a.jpg", outcome="female")
    file_entries(world.ledger, world.folders, world.settings.layout, [entry], MoveOptions())
    row = world.row(entry.id)
    assert (row["state"], row["source_path"]) == ("recorded", "male/a.jpg")
    assert world.file().filed == [entry.id]
    assert list(build.contents(world.root)) == ["female/a.jpg"]


def test_a_file_whose_folder_was_renamed_since_it_was_recorded_is_followed(world: World) -> None:
    paths = [world.drop(f"old/{number}.jpg", b"%d" % number) for number in range(3)]
    judged = [world.judged(path) for path in paths]
    entries = world.record(*judged)
    (world.root / "inbox" / "old").rename(world.root / "inbox" / "new")
    (world.root / "inbox" / "new" / "2.jpg").rename(world.root / "taken.jpg")
    held = {entry.id: each.opened.descriptor for entry, each in zip(entries, judged, strict=True)}
    ended = world.file(held)
    assert (ended.filed, ended.missing) == ([entries[0].id, entries[1].id], [entries[2].id])
    assert sorted(build.contents(world.root)) == ["male/old/0.jpg", "male/old/1.jpg"]
    assert build.waiting(world.root) == []


# ------------------------------------------------------------------------- after a crash


def test_a_file_that_was_moved_before_the_crash_is_only_marked(world: World) -> None:
    entry = world.record_file("a.jpg")
    os.rename(entry.source, entry.target)
    assert world.file().filed == [entry.id]
    assert world.row(entry.id)["path"] == "male/a.jpg"


def test_a_file_with_both_names_after_the_crash_keeps_the_new_one(world: World) -> None:
    entry = world.record_file("a.jpg")
    os.link(entry.source, entry.target)
    assert world.file().filed == [entry.id]
    assert build.contents(world.root) == {"male/a.jpg": build.sha256(b"a photograph")}


def test_a_file_that_is_nowhere_is_missing(world: World) -> None:
    entry = world.record_file("a.jpg")
    os.unlink(entry.source)
    assert world.file().missing == [entry.id]
    row = world.row(entry.id)
    assert (row["state"], row["source_path"]) == ("missing", None)


def test_a_foreign_file_at_the_target_stays_and_the_name_gets_the_id(world: World) -> None:
    entry = world.record_file("a.jpg")
    Path(os.fsdecode(entry.target)).write_bytes(b"a person's")
    assert world.file().filed == [entry.id]
    assert world.row(entry.id)["path"] == f"male/a~{entry.id}.jpg"
    assert build.contents(world.root) == {
        "male/a.jpg": build.sha256(b"a person's"),
        f"male/a~{entry.id}.jpg": build.sha256(b"a photograph"),
    }


def test_an_equal_file_at_the_target_is_another_file(world: World) -> None:
    entry = world.record_file("a.jpg")
    twin = Path(os.fsdecode(entry.target))
    twin.write_bytes(b"a photograph")
    os.utime(twin, ns=(0, os.stat(entry.source).st_mtime_ns))
    world.file()
    assert sorted(build.contents(world.root)) == ["male/a.jpg", f"male/a~{entry.id}.jpg"]


def test_a_source_that_is_another_file_by_now_is_left_as_a_new_drop(world: World) -> None:
    entry = world.record_file("a.jpg")
    world.drop("a.jpg", b"another photograph")
    assert world.file().missing == [entry.id]
    assert build.waiting(world.root) == ["inbox/a.jpg"]


def test_a_file_moved_before_the_crash_is_filed_though_another_drop_has_its_old_name(
    world: World,
) -> None:
    entry = world.record_file("a.jpg")
    os.rename(entry.source, entry.target)
    world.drop("a.jpg", b"another photograph")
    ended = world.file()
    assert (ended.filed, ended.missing) == ([entry.id], [])
    assert world.row(entry.id)["path"] == "male/a.jpg"
    assert build.waiting(world.root) == ["inbox/a.jpg"]


def test_a_source_with_the_same_size_and_time_but_other_bytes_is_a_new_drop(world: World) -> None:
    entry = world.record_file("a.jpg")
    recorded = os.stat(entry.source)
    path = world.drop("a.jpg", b"a PHOTOGRAPH")
    os.utime(path, ns=(recorded.st_atime_ns, recorded.st_mtime_ns))
    assert world.file().missing == [entry.id]
    assert path.read_bytes() == b"a PHOTOGRAPH"


def test_a_target_folder_that_became_a_file_gets_the_id(world: World) -> None:
    entry = world.record_file("wedding/a.jpg")
    (world.root / "male" / "wedding").write_bytes(b"a file")
    assert world.file().filed == [entry.id]
    assert world.row(entry.id)["path"] == f"male/wedding~{entry.id}/a.jpg"


@pytest.mark.parametrize("depth", ["wedding", "wedding/church"])
def test_a_link_in_the_target_is_never_followed(world: World, tmp_path: Path, depth: str) -> None:
    entry = world.record_file("wedding/church/a.jpg")
    outside = tmp_path / "outside"
    (outside / "church").mkdir(parents=True)
    link = world.root / "male" / depth
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)
    world.file()
    assert [path for path in outside.rglob("*") if not path.is_dir()] == []
    assert (world.root / world.row(entry.id)["path"]).read_bytes() == b"a photograph"


def test_a_link_in_the_way_to_the_source_is_never_followed(world: World, tmp_path: Path) -> None:
    entry = world.record_file("wedding/a.jpg")
    (world.root / "inbox" / "wedding").rename(tmp_path / "outside")
    (world.root / "inbox" / "wedding").symlink_to(tmp_path / "outside")
    assert world.file().missing == [entry.id]
    assert (tmp_path / "outside" / "a.jpg").exists()


def test_a_row_of_folders_that_the_settings_no_longer_name_waits(world: World) -> None:
    entry = world.record_file("a.jpg")
    folders, _ = build.folders_of(world.root, male=world.root / "men")
    world.folders = folders
    assert list(world.file().stuck) == [entry.id]
    assert build.waiting(world.root) == ["inbox/a.jpg"]
    assert world.row(entry.id)["state"] == "recorded"


def test_a_file_that_cannot_be_moved_does_not_stop_the_others(world: World) -> None:
    stuck = world.record_file("stuck.jpg", b"1")
    other = world.record_file("other.jpg", b"2")
    if os.system(f"chattr +i {os.fsdecode(stuck.source)}") != 0:
        pytest.skip("chattr +i does not work here")
    try:
        ended = world.file()
    finally:
        os.system(f"chattr -i {os.fsdecode(stuck.source)}")
    assert (ended.filed, list(ended.stuck)) == ([other.id], [stuck.id])
    assert world.file().filed == [stuck.id]


def test_a_file_that_cannot_be_read_back_is_its_own_trouble_and_not_the_disks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = world.record_file("bad.jpg", b"1")
    good = world.record_file("good.jpg", b"2")
    inode = os.stat(bad.source).st_ino
    pread = os.pread

    def failing(descriptor: int, *given: int) -> bytes:
        if os.fstat(descriptor).st_ino == inode:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(descriptor, *given)

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", failing)
        ended = world.file()
    assert (ended.filed, list(ended.stuck)) == ([good.id], [bad.id])
    assert world.row(bad.id)["state"] == "recorded"
    assert world.file().filed == [bad.id]


def test_a_row_that_rests_is_not_tried(world: World) -> None:
    first = world.record_file("a.jpg", b"1")
    second = world.record_file("b.jpg", b"2")
    assert world.file(resting={first.id}).filed == [second.id]
    assert world.file().filed == [first.id]


def test_a_round_that_may_not_go_on_marks_what_was_moved(world: World) -> None:
    paths = [world.drop(f"{number}.jpg", b"%d" % number) for number in range(300)]
    entries = world.record(*(world.judged(path) for path in paths))
    answers = iter([True, True, False])
    assert world.file(may_go_on=lambda: next(answers)).filed == [entries[0].id, entries[1].id]
    assert len(build.waiting(world.root)) == 298
    assert len(world.file().filed) == 298


def test_an_answer_folder_that_cannot_be_written_is_trouble_of_the_whole_service(
    world: World,
) -> None:
    world.record_file("a.jpg")
    folder = world.root / "male"
    if os.system(f"chattr +i {folder}") != 0:
        pytest.skip("chattr +i does not work here")
    try:
        with pytest.raises(Trouble):
            world.file()
    finally:
        os.system(f"chattr -i {folder}")


def test_a_missing_inbox_is_trouble_and_no_file_is_called_missing(world: World) -> None:
    entry = world.record_file("a.jpg")
    (world.root / "inbox").rename(world.root / "unmounted")
    with pytest.raises(Trouble) as caught:
        world.file()
    assert caught.value.reason == "inbox_missing"
    assert world.row(entry.id)["state"] == "recorded"


def test_a_row_is_filed_only_after_its_folders_were_made_durable(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = world.record_file("wedding/a.jpg")

    def failing(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(folders.os, "fsync", failing)
        with pytest.raises(GdwatchError, match="could not be made durable"):
            world.file()
    assert world.row(entry.id)["state"] == "recorded"
    assert world.file().filed == [entry.id]


def test_after_a_crash_every_folder_on_the_way_is_made_durable_before_a_row_is_filed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = world.record_file("wedding/church/a.jpg")
    target = Path(os.fsdecode(entry.target))
    target.parent.mkdir(parents=True)
    os.rename(entry.source, target)
    found = set()
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        found.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(folders.os, "fsync", noted)
    assert world.file().filed == [entry.id]
    assert {"male", "wedding", "church"} <= found


# ------------------------------------------------------------------------- changed late


def test_a_file_changed_after_it_was_judged_goes_to_unsure(world: World) -> None:
    path = world.drop("a.jpg")
    judged = world.judged(path)
    (entry,) = world.record(judged)
    with path.open("ab") as file:
        file.write(b" and more")
    ended = world.file({entry.id: judged.opened.descriptor})
    assert ended.filed == [entry.id]
    row = world.row(entry.id)
    assert (row["path"], row["reason"]) == ("unsure/a.jpg", "changed_late")
    assert row["sha256"] == build.sha256(b"a photograph and more")
    assert row["size_bytes"] == len(b"a photograph and more")
    assert build.contents(world.root) == {"unsure/a.jpg": row["sha256"]}
    judged, result = build.query(world.root, "SELECT * FROM results ORDER BY id")
    assert judged["outcome"] == "male"  # that decision is kept
    assert (result["outcome"], result["reason"], result["label"]) == (
        "unsure",
        "changed_late",
        None,
    )
    assert (result["p_male"], result["confidence"]) == (None, None)


def test_a_file_changed_while_it_is_copied_to_another_disk_goes_to_unsure_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as disk,
        world_at(root, male=Path(disk, "male")) as world,
    ):
        if os.stat(disk).st_dev == root.stat().st_dev:
            pytest.skip("/dev/shm and the temporary folder are one file system")
        path = world.drop("a.jpg")
        judged = world.judged(path)
        (entry,) = world.record(judged)
        writers = [path]
        fill = copying._fill

        def written_to(*given: Any) -> bool:
            filled = fill(*given)
            while writers:
                with writers.pop().open("ab") as file:
                    file.write(b" and more")
            return filled

        monkeypatch.setattr(copying, "_fill", written_to)
        ended = world.file({entry.id: judged.opened.descriptor})
        assert (ended.filed, ended.missing) == ([entry.id], [])
        assert os.listdir(os.path.join(disk, "male")) == []
        sha256 = build.sha256(b"a photograph and more")
        assert build.contents(root) == {"unsure/a.jpg": sha256}
        assert world.row(entry.id)["sha256"] == sha256
        assert world.row(entry.id)["reason"] == "changed_late"


def test_a_rejected_file_changed_late_goes_to_unsure_too(world: World) -> None:
    path = world.drop("a.jpg")
    judged = world.judged(path, "rejected")
    (entry,) = world.record(judged)
    path.write_bytes(b"now it is whole")
    world.file({entry.id: judged.opened.descriptor})
    assert world.row(entry.id)["path"] == "unsure/a.jpg"


def test_a_file_replaced_after_it_was_judged_is_not_moved(world: World) -> None:
    path = world.drop("a.jpg")
    judged = world.judged(path)
    (entry,) = world.record(judged)
    world.drop("a.jpg", b"another drop under the same name")
    assert world.file({entry.id: judged.opened.descriptor}).missing == [entry.id]
    assert path.read_bytes() == b"another drop under the same name"
