import logging
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from watchdog.events import FileSystemEvent

from gdwatch.intake.watcher import Watch, _Listener
from tests.build import wait_until
from tests.gdwatch.intake.network_disk import network_disk


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def watch(inbox: Path) -> Iterator[Watch]:
    with closing(Watch(os.fsencode(inbox), "events")) as made:
        made.keep()
        settle(made)
        yield made


def settle(watch: Watch) -> None:
    watch.clear()
    watch.changed = False


def wakes(watch: Watch) -> bool:
    """Whether the service would be woken within a minute."""
    return bool(select.select([watch.waker], [], [], 60)[0])


def test_a_new_file_wakes_the_service(watch: Watch, inbox: Path) -> None:
    (inbox / "a.jpg").write_bytes(b"1")
    assert wakes(watch)
    wait_until(lambda: watch.changed)


def test_what_comes_by_rename_is_named(watch: Watch, inbox: Path) -> None:
    outside = inbox.parent / "a.jpg"
    outside.write_bytes(b"1")
    outside.rename(inbox / "a.jpg")
    wait_until(lambda: os.fsencode(inbox / "a.jpg") in watch.arrivals)
    (inbox / "b.part").write_bytes(b"1")
    (inbox / "b.part").rename(inbox / "b.jpg")
    wait_until(lambda: os.fsencode(inbox / "b.jpg") in watch.arrivals)


def test_what_leaves_the_inbox_holds_up_nothing(
    watch: Watch, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[FileSystemEvent] = []
    notice = _Listener.on_any_event
    monkeypatch.setattr(
        _Listener, "on_any_event", lambda self, event: (seen.append(event), notice(self, event))
    )
    for name in ("a", "b"):
        (inbox.parent / name).write_bytes(b"1")
        (inbox.parent / name).rename(inbox / name)
        wait_until(lambda name=name: os.fsencode(inbox / name) in watch.arrivals)
        (inbox / name).rename(inbox.parent / name)
    # Those that leave make no events, which watchdog would keep back, and with them the others.
    assert [event.dest_path for event in seen] == [str(inbox / "a"), str(inbox / "b")]


def test_a_new_sub_folder_is_watched_too(watch: Watch, inbox: Path) -> None:
    (inbox / "sub").mkdir()
    wait_until(lambda: watch.changed)

    def moved_in() -> bool:
        (inbox.parent / "x").write_bytes(b"1")
        (inbox.parent / "x").rename(inbox / "sub" / "x")
        return os.fsencode(inbox / "sub" / "x") in watch.arrivals

    wait_until(moved_in)


def test_an_inbox_that_was_replaced_is_watched_again(watch: Watch, inbox: Path) -> None:
    inbox.rename(inbox.parent / "away")
    inbox.mkdir()
    watch.keep()  # notices
    watch.keep()
    settle(watch)
    (inbox / "a.jpg").write_bytes(b"1")
    wait_until(lambda: watch.changed)


def test_a_link_in_the_place_of_the_inbox_is_not_followed(watch: Watch, inbox: Path) -> None:
    inbox.rename(inbox.with_name("taken"))
    inbox.with_name("other").mkdir()
    inbox.symlink_to(inbox.with_name("other"))
    watch.keep()
    assert watch.is_polling


def test_a_missing_inbox_is_no_failure(inbox: Path) -> None:
    inbox.rmdir()
    with closing(Watch(os.fsencode(inbox), "events")) as watch:
        watch.keep()
        assert watch.rescan_s(30) == 2


def test_folders_too_deep_to_watch_are_polled_until_told_to_try_again(inbox: Path) -> None:
    deep = os.open(inbox, os.O_RDONLY)
    for _ in range(1_200):
        os.mkdir("d", dir_fd=deep)
        below = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    os.close(deep)
    with closing(Watch(os.fsencode(inbox), "events")) as watch:
        watch.keep()
        subprocess.run(["rm", "-r", inbox / "d"], check=True)
        watch.keep()
        assert watch.is_polling
        watch.retry()
        watch.keep()
        assert not watch.is_polling


def test_polling_lists_more_often(inbox: Path) -> None:
    with closing(Watch(os.fsencode(inbox), "poll")) as watch:
        watch.keep()
        assert watch.rescan_s(30) == 2
        assert watch.rescan_s(0.5) == 0.5


def test_events_let_the_setting_stand(watch: Watch) -> None:
    assert watch.rescan_s(30) == 30


def test_lost_events_ask_for_a_listing(watch: Watch) -> None:
    logging.getLogger("watchdog.observers.inotify_c").warning("inotify queue overflow")
    assert watch.overflowed
    assert watch.changed
    assert wakes(watch)


def test_a_thousand_wakes_do_not_block(watch: Watch) -> None:
    for _ in range(100_000):
        watch.wake()
    watch.clear()
    assert not select.select([watch.waker], [], [], 0)[0]


def test_a_folder_is_polled_while_it_lies_on_a_network(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the disk is mounted, or is another one, only after the start."""
    now_s = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    with closing(Watch(os.fsencode(inbox), "auto")) as watch, capture_logs() as logs:
        watch.keep()
        assert not watch.is_polling
        with network_disk(inbox):
            for now_s[0] in range(10):
                watch.keep()
            assert watch.is_polling
            assert watch.rescan_s(30) == 2
        now_s[0] += 2
        watch.keep()
        assert not watch.is_polling
        assert [each["event"] for each in logs] == [
            "watch.started", "watch.lost", "watch.polling", "watch.started",
        ]  # fmt: skip


def test_who_wants_events_gets_them_from_a_network_too(inbox: Path) -> None:
    with network_disk(inbox), closing(Watch(os.fsencode(inbox), "events")) as watch:
        watch.keep()
        assert not watch.is_polling
