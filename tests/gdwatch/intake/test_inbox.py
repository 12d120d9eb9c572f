import os
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdwatch.errors import Trouble
from gdwatch.intake import inbox as inbox_module
from gdwatch.intake import settling
from gdwatch.intake.inbox import Inbox
from gdwatch.intake.inbox_listing import Listing
from gdwatch.intake.settling import Look, settled
from gdwatch.root.folder_handles import Handles
from gdwatch.values import Identity
from tests import build
from tests.gdwatch.intake.network_disk import NAME, network_disk

SETTLE_S = 0.05


def names(drops: list[build.Drop]) -> list[str]:
    return sorted(os.fsdecode(drop.path.rpartition(b"/inbox/")[2]) for drop in drops)


def ready(inbox: Inbox, *moments_s: float, limit: int = 100) -> list[str]:
    """What is handed out in turns at these moments of a clock that the test holds."""
    return names([drop for moment in moments_s for drop in inbox.ready(limit, moment)])


# ------------------------------------------------------------------------- settling


@given(
    st.floats(0, 1e6), st.floats(0, 1e4), st.floats(0, 100), st.floats(0, 100), st.integers(0, 9)
)
def test_a_file_is_settled_once_it_has_looked_the_same_long_enough(
    since_s: float, waited_s: float, settle_s: float, empty_s: float, size_bytes: int
) -> None:
    look = Look(Identity(1, size_bytes, 0, 0), since_s, since_s, 0.0, datetime.now(UTC))
    now_s = since_s + waited_s
    needed_s = settle_s if size_bytes else empty_s
    assert settled(look, now_s, settle_s, empty_s) == (now_s - since_s >= needed_s)


def test_a_file_is_ready_when_two_looks_have_seen_the_same(root: Path) -> None:
    build.put(root, "a.jpg", b"1")
    inbox = build.inbox_of(root)
    assert ready(inbox, 0.0, 0.04) == []
    assert ready(inbox, 0.05) == ["a.jpg"]


def test_a_file_is_handed_out_once_until_it_is_released(root: Path) -> None:
    path = build.put(root, "a.jpg", b"1")
    inbox = build.inbox_of(root)
    assert ready(inbox, 0.0, 1.0) == ["a.jpg"]
    inbox.rescan()
    assert ready(inbox, 2.0, 3.0) == []
    inbox.release(os.fsencode(path))
    inbox.rescan()
    assert ready(inbox, 4.0, 5.0) == ["a.jpg"]


def test_a_file_still_being_written_is_left_alone(root: Path) -> None:
    path = build.put(root, "a.jpg", b"")
    inbox = build.inbox_of(root)
    inbox.ready(100, 0.0)
    for turn in range(1, 20):
        with path.open("ab") as file:
            file.write(b"more")
        assert ready(inbox, turn * 0.06) == []
    assert ready(inbox, 19 * 0.06 + 0.05) == ["a.jpg"]


def test_a_file_that_is_open_for_writing_is_waited_for_but_not_for_ever(root: Path) -> None:
    path = build.put(root, "a.jpg", b"half")
    inbox = build.inbox_of(root)
    with path.open("ab"):
        assert ready(inbox, 0.0, 0.1, 1.0, 5.0) == []
    assert ready(inbox, 6.0) == ["a.jpg"]
    inbox = build.inbox_of(root)
    with path.open("ab"):
        assert ready(inbox, 0.0, 0.1, 29.0) == []
        assert ready(inbox, 31.0) == ["a.jpg"]


def test_an_inbox_that_cannot_be_written_is_trouble(root: Path) -> None:
    build.put(root, "a.jpg", b"1")
    inbox = build.inbox_of(root)
    if subprocess.run(["chattr", "+i", root / "inbox"], check=False).returncode != 0:
        pytest.skip("chattr +i does not work here")
    try:
        with pytest.raises(Trouble, match=r"inbox .*: cannot be written; make it writable"):
            inbox.ready(100, 0.0)
    finally:
        subprocess.run(["chattr", "-i", root / "inbox"], check=True)
    assert ready(inbox, 0.0, 1.0) == ["a.jpg"]


def test_a_file_rewritten_in_place_with_the_same_size_starts_over(root: Path) -> None:
    path = build.put(root, "a.jpg", b"1")
    inbox = build.inbox_of(root)
    inbox.ready(100, 0.0)
    before = path.stat()
    path.write_bytes(b"2")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ready(inbox, 1.0) == []
    assert ready(inbox, 2.0) == ["a.jpg"]


def test_the_time_of_a_file_is_never_compared_with_the_clock(root: Path) -> None:
    path = build.put(root, "a.jpg", b"1")
    os.utime(path, (4e9, 4e9))
    assert ready(build.inbox_of(root), 0.0, 1.0) == ["a.jpg"]


def test_an_empty_file_waits_a_minute(root: Path) -> None:
    build.put(root, "a.jpg", b"")
    inbox = build.inbox_of(root)
    assert ready(inbox, 0.0, 1.0, 59.0) == []
    assert ready(inbox, 60.0) == ["a.jpg"]


def test_an_empty_file_does_not_wait_where_the_service_runs_once(root: Path) -> None:
    build.put(root, "a.jpg", b"")
    assert ready(build.inbox_of(root, once=True), 0.0, 1.0) == ["a.jpg"]


def test_an_empty_file_does_not_keep_the_service_turning(root: Path) -> None:
    build.put(root, "a.jpg", b"")
    inbox = build.inbox_of(root)
    inbox.ready(100, 0.0)
    inbox.ready(100, 1.0)
    assert inbox.next_look_s(1.0) > 0


def test_a_file_behind_an_empty_one_is_ready_in_time(root: Path) -> None:
    build.put(root, "empty.jpg", b"")
    inbox = build.inbox_of(root)
    inbox.ready(100, 0.0)
    build.put(root, "b.jpg", b"1")
    inbox.rescan()
    inbox.ready(100, 1.0)
    assert inbox.next_look_s(1.0) <= SETTLE_S + 1e-6
    assert ready(inbox, 1.05) == ["b.jpg"]


def test_a_pile_of_empty_files_is_looked_at_once_a_second_and_not_in_every_turn(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        build.put(root, f"{number}.jpg", b"")
    inbox = build.inbox_of(root)
    looks = []
    lstat = Handles.lstat

    def counted(handles: Handles, path: bytes) -> os.stat_result | None:
        looks.append(path)
        return lstat(handles, path)

    monkeypatch.setattr(Handles, "lstat", counted)
    for turn in range(300):
        inbox.ready(100, turn / 100)
    assert len(looks) == 2 * 20


def test_an_empty_file_that_gets_its_bytes_settles_from_the_next_listing_on(root: Path) -> None:
    path = build.put(root, "a.jpg", b"")
    inbox = build.inbox_of(root)
    inbox.ready(100, 0.0)
    path.write_bytes(b"1")
    inbox.rescan()
    assert ready(inbox, 0.1, 0.12) == []
    assert ready(inbox, 0.16) == ["a.jpg"]


def test_a_turn_with_nothing_to_do_does_not_open_the_inbox(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = build.inbox_of(root)
    opened = []
    base = Handles.base
    monkeypatch.setattr(Handles, "base", lambda *given: opened.append(given) or base(*given))
    inbox.ready(100, 0.0)
    opened.clear()
    for turn in range(1, 100):
        inbox.ready(100, turn / 100)
    assert not opened
    (root / "inbox").rmdir()
    with pytest.raises(Trouble, match="inbox"):
        inbox.ready(100, 1.0)


def test_it_is_known_how_long_nothing_can_become_ready(root: Path) -> None:
    inbox = build.inbox_of(root)
    assert inbox.next_look_s(0.0) == 0
    inbox.ready(100, 0.0)
    assert inbox.next_look_s(0.0) > 1
    build.put(root, "a.jpg", b"1")
    inbox.rescan()
    inbox.ready(100, 1.0)
    assert inbox.next_look_s(1.02) == pytest.approx(0.03)


def test_a_vanished_file_is_forgotten(root: Path) -> None:
    path = build.put(root, "a.jpg", b"1")
    inbox = build.inbox_of(root, once=True)
    inbox.ready(100, 0.0)
    path.unlink()
    assert ready(inbox, 1.0) == []
    assert inbox.exhausted


# ------------------------------------------------------------------------- renames


def test_a_file_that_came_by_rename_is_taken_at_once(root: Path) -> None:
    inbox = build.inbox_of(root)
    inbox.ready(100, 0.0)
    inbox.arrived(os.fsencode(build.put(root, "a.jpg", b"1")))
    assert inbox.next_look_s(0.0) == 0
    assert ready(inbox, 0.0) == ["a.jpg"]


def test_a_hint_is_believed_only_about_a_regular_file_of_the_inbox(root: Path) -> None:
    inbox = build.inbox_of(root)
    inbox.ready(100, 0.0)
    (root / "inbox" / "folder").mkdir()
    (root / "inbox" / "link.jpg").symlink_to(__file__)
    build.put(root, ".hidden", b"1")
    build.put(root, "a.part", b"1")
    build.put(root, ".thumbnails/a.jpg", b"1")
    for name in ("folder", "link.jpg", ".hidden", "a.part", ".thumbnails/a.jpg", "vanished"):
        inbox.arrived(os.fsencode(root / "inbox" / name))
    assert ready(inbox, 0.0) == []


def test_a_name_that_comes_again_while_its_file_is_judged_is_taken_after_that(root: Path) -> None:
    path = build.put(root, "a.jpg", b"1")
    inbox = build.inbox_of(root)
    assert ready(inbox, 0.0, 1.0) == ["a.jpg"]
    inbox.arrived(os.fsencode(build.put(root, "a.jpg", b"2")))
    assert ready(inbox, 2.0) == []
    inbox.release(os.fsencode(path))
    assert ready(inbox, 3.0, 4.0, 5.0) == ["a.jpg"]


# ------------------------------------------------------------------------- what is left alone


def test_names_on_the_list_are_ignored(root: Path) -> None:
    for name in (".a.jpg", "~a.jpg", "a.jpg.part", "a.tmp", "a.crdownload", "a.partial",
                 "a.filepart", "Thumbs.db", "desktop.ini", ".trash/a.jpg"):  # fmt: skip
        build.put(root, name, b"1")
    build.put(root, "part.jpg", b"1")
    inbox = build.inbox_of(root, once=True)
    assert ready(inbox, 0.0, 1.0) == ["part.jpg"]
    assert inbox.exhausted
    assert inbox.skipped == {}


def test_the_list_of_names_is_a_setting(root: Path) -> None:
    build.put(root, "a.raw", b"1")
    build.put(root, ".a.jpg", b"1")
    assert ready(build.inbox_of(root, ignore=("*.raw",)), 0.0, 1.0) == [".a.jpg"]
    assert ready(build.inbox_of(root, ignore=()), 0.0, 1.0) == [".a.jpg", "a.raw"]


def test_what_is_no_regular_file_is_skipped_once_and_never_opened(root: Path) -> None:
    folder = root / "inbox"
    (folder / "link").symlink_to(__file__)
    (folder / "dangling").symlink_to("nowhere")
    (folder / "linked-folder").symlink_to(root)
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as channel:
        channel.bind(str(folder / "socket"))
    inbox = build.inbox_of(root, once=True)
    assert ready(inbox, 0.0, 1.0) == []
    reasons = {os.path.basename(os.fsdecode(path)): why for path, why in inbox.skipped.items()}
    assert reasons == {
        "link": "symlink",
        "dangling": "symlink",
        "linked-folder": "symlink",
        "fifo": "fifo",
        "socket": "socket",
    }
    assert inbox.exhausted


def test_what_was_skipped_is_reported_once_and_again_only_after_it_was_gone(root: Path) -> None:
    link = root / "inbox" / "link"
    link.symlink_to("nowhere")
    inbox = build.inbox_of(root)
    for moment in range(3):
        inbox.rescan()
        inbox.ready(100, float(moment))
    assert len(inbox.newly_skipped) == 1
    link.unlink()
    inbox.rescan()
    inbox.ready(100, 4.0)
    assert inbox.skipped == {}


def test_a_file_without_permission_is_reported_once_however_often_it_is_listed(root: Path) -> None:
    path = os.fsencode(build.put(root, "a.jpg", b"1"))
    inbox = build.inbox_of(root)
    for moment in range(4):
        inbox.rescan()
        for drop in inbox.ready(100, moment * 1.0) + inbox.ready(100, moment + 0.5):
            inbox.skip(drop.path, "permission")
    assert [each[0] for each in inbox.newly_skipped] == [path]
    assert inbox.skipped == {path: "permission"}


def refused_at(inbox: Inbox, until_s: float) -> list[float]:
    """When a file is handed out that is always refused, with ten listings a second."""
    found = []
    for tenth in range(round(until_s * 10)):
        inbox.rescan()
        for drop in inbox.ready(100, tenth / 10):
            found.append(tenth / 10)
            inbox.skip(drop.path, "unreadable")
    return found


def test_a_file_that_is_refused_is_tried_again_ever_later_however_often_it_is_listed(
    root: Path,
) -> None:
    build.put(root, "a.jpg", b"1")
    found = refused_at(build.inbox_of(root), 20.0)
    waits = [later - earlier for earlier, later in pairwise(found)]
    assert [round(wait) for wait in waits] == [1, 2, 4, 8]


def test_what_was_refused_is_tried_again_without_a_listing(root: Path) -> None:
    build.put(root, "a.jpg", b"1")
    inbox = build.inbox_of(root)
    for drop in [*inbox.ready(100, 0.0), *inbox.ready(100, 1.0)]:
        inbox.skip(drop.path, "permission")
    assert ready(inbox, 1.5, 1.9) == []
    assert ready(inbox, 2.0, 2.1) == ["a.jpg"]


def test_a_change_of_what_was_refused_is_tried_at_the_next_listing(root: Path) -> None:
    path = build.put(root, "a.jpg", b"1")
    inbox = build.inbox_of(root)
    assert len(refused_at(inbox, 10.0)) == 4
    path.chmod(0o600)
    inbox.rescan()
    assert ready(inbox, 10.0, 10.1) == ["a.jpg"]


def test_files_that_trouble_kept_from_being_handed_out_are_found_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build.put(root, "a.jpg", b"1")
    inbox = build.inbox_of(root)
    inbox.ready(100, 0.0)
    inbox.rescan()

    def gone(*_: object) -> None:
        raise Trouble("inbox_missing", "gone")

    with monkeypatch.context() as patched:
        patched.setattr(Listing, "_list_folder", gone)
        with pytest.raises(Trouble):
            inbox.ready(100, 1.0)
    assert ready(inbox, 2.0, 3.0) == ["a.jpg"]


def test_a_disk_can_be_unmounted_while_the_listing_pauses(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "_STEPS", 1)
    for number in range(3):
        build.put(root, f"{number}.jpg", b"1")
    inbox = build.inbox_of(root)
    before = len(os.listdir("/proc/self/fd"))
    inbox.ready(100, 0.0)
    assert len(os.listdir("/proc/self/fd")) > before
    inbox.let_go()
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(ready(inbox, *(float(moment) for moment in range(1, 10)))) == 3


def test_a_file_on_a_shared_folder_settles_five_seconds_at_least(root: Path) -> None:
    inbox = build.inbox_of(root, settle_ms=50)
    with network_disk(root / "inbox"):
        assert ready(inbox, 0.0, 1.0, 4.9) == []
        assert ready(inbox, 5.0) == [os.fsdecode(NAME)]


def test_a_disk_that_is_mounted_later_has_its_own_rules(root: Path) -> None:
    build.put(root, "a.jpg", b"1")
    inbox = build.inbox_of(root, settle_ms=50)
    assert ready(inbox, 0.0, 1.0) == ["a.jpg"]
    with network_disk(root / "inbox"):
        inbox.rescan()
        assert ready(inbox, 2.0, 3.0, 6.9) == []
        assert ready(inbox, 7.0) == [os.fsdecode(NAME)]
        # With the same id and device number, as the kernel gives them out again at once.
        subprocess.run(["umount", "-l", root / "inbox"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "gdwatch-test", root / "inbox"], check=True)
        (root / "inbox" / "b.jpg").write_bytes(b"1")
        inbox.rescan()
        assert ready(inbox, 8.0, 8.1) == ["b.jpg"]


def test_a_missing_inbox_is_trouble(root: Path) -> None:
    (root / "inbox").rmdir()
    with pytest.raises(Trouble) as caught:
        build.inbox_of(root).ready(100, 0.0)
    assert caught.value.reason == "inbox_missing"


# ------------------------------------------------------------------------- folders


def test_sub_folders_are_listed(root: Path) -> None:
    for name in ("a.jpg", "x/b.jpg", "x/y/z/c.jpg"):
        build.put(root, name, b"1")
    inbox = build.inbox_of(root)
    assert ready(inbox, 0.0, 1.0) == ["a.jpg", "x/b.jpg", "x/y/z/c.jpg"]


def test_folders_too_deep_are_skipped(root: Path) -> None:
    build.put(root, "d/" * 32 + "a.jpg", b"1")
    build.put(root, "d/" * 33 + "b.jpg", b"1")
    inbox = build.inbox_of(root, once=True)
    assert ready(inbox, 0.0, 1.0) == ["d/" * 32 + "a.jpg"]
    assert list(inbox.skipped.values()) == ["too_deep"]


def listed(inbox: Inbox, moment_s: float) -> None:
    inbox.rescan()
    inbox.ready(100, moment_s)


def test_a_deep_folder_that_was_empty_for_an_hour_is_removed(root: Path) -> None:
    (root / "inbox" / "a" / "b" / "c").mkdir(parents=True)
    inbox = build.inbox_of(root)
    for moment in (0.0, 1800.0, 3599.0):
        listed(inbox, moment)
    assert (root / "inbox" / "a" / "b" / "c").exists()
    listed(inbox, 3600.0)
    assert not (root / "inbox" / "a" / "b" / "c").exists()
    listed(inbox, 3700.0)
    listed(inbox, 7300.0)
    assert not (root / "inbox" / "a" / "b").exists()
    listed(inbox, 99_000.0)
    assert (root / "inbox" / "a").exists()


def test_a_folder_that_was_used_meanwhile_stays(root: Path) -> None:
    folder = root / "inbox" / "a" / "b"
    folder.mkdir(parents=True)
    inbox = build.inbox_of(root)
    listed(inbox, 0.0)
    (folder / "x").touch()
    (folder / "x").unlink()
    os.utime(folder, ns=(0, folder.stat().st_mtime_ns + 1))
    listed(inbox, 3600.0)
    assert folder.exists()
    (folder / "x.part").touch()
    listed(inbox, 7200.0)
    listed(inbox, 10_900.0)
    assert folder.exists()


# ------------------------------------------------------------------------- many files


def test_no_more_is_handed_out_than_asked_for(root: Path) -> None:
    for number in range(5):
        build.put(root, f"{number}.jpg", b"1")
    inbox = build.inbox_of(root)
    inbox.ready(100, 0.0)
    assert len(inbox.ready(2, 1.0)) == 2
    assert len(inbox.ready(2, 1.0)) == 2
    assert inbox.ready(0, 1.0) == []
    assert len(inbox.ready(2, 1.0)) == 1


def test_only_so_many_files_are_looked_at_together_and_all_are_taken(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "_WINDOW", 4)
    for number in range(10):
        build.put(root, f"{number}.jpg", b"1")
    inbox = build.inbox_of(root, once=True)
    taken: list[str] = []
    for turn in range(10):
        found = ready(inbox, turn * 1.0)
        assert len(found) <= 4
        taken += found
    assert sorted(taken) == [f"{number}.jpg" for number in range(10)]
    assert inbox.exhausted


def test_a_listing_that_is_long_goes_on_in_the_next_turn(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "_STEPS", 3)
    for number in range(10):
        build.put(root, f"{number}.jpg", b"1")
    inbox = build.inbox_of(root, once=True)
    assert len(ready(inbox, *(turn * 1.0 for turn in range(8)))) == 10
    assert inbox.exhausted


def test_folders_without_files_do_not_keep_the_service_from_its_other_work(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn reads so many folders, too: there may be a hundred thousand of them."""
    for number in range(40):
        (root / "inbox" / str(number)).mkdir()
    monkeypatch.setattr(inbox_module, "_STEPS", 8)
    inbox = build.inbox_of(root)
    read: list[int] = []
    steps = Listing.steps

    def counted(self: Listing, now_s: float = 0.0) -> Iterator[object]:
        for each in steps(self, now_s):
            read[-1] += 1
            yield each

    monkeypatch.setattr(Listing, "steps", counted)
    while not inbox.exhausted:
        assert inbox.listing_s == 0  # not known before its end
        read.append(0)
        inbox.ready(1, float(len(read)))
    assert (sum(read), max(read)) == (41, 8)
    assert inbox.listing_s > 0


def test_a_single_run_takes_what_was_there_and_no_more(root: Path) -> None:
    build.put(root, "a.jpg", b"1")
    inbox = build.inbox_of(root, once=True)
    assert not inbox.exhausted
    assert ready(inbox, 0.0, 1.0) == ["a.jpg"]
    build.put(root, "b.jpg", b"1")
    assert ready(inbox, 2.0, 3.0) == []
    assert inbox.exhausted
    assert inbox.given_up == 0


def test_a_single_run_leaves_a_file_that_is_written_without_end(root: Path) -> None:
    path = build.put(root, "a.jpg", b"1")
    inbox = build.inbox_of(root, once=True)
    for turn in range(40):
        with path.open("ab") as file:
            file.write(b"more")
        assert ready(inbox, turn * 1.0) == []
    assert inbox.exhausted
    assert inbox.given_up == 1


def test_the_moment_of_the_first_look_is_when_it_was_received(root: Path) -> None:
    build.put(root, "a.jpg", b"1")
    inbox = build.inbox_of(root)
    before = datetime.now(UTC)
    inbox.ready(100, 0.0)
    after = datetime.now(UTC)
    (drop,) = inbox.ready(100, 1.0)
    assert before <= drop.received_at <= after
