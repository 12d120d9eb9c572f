import json
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from watchdog.events import DirCreatedEvent, FileMovedEvent, FileSystemEvent

from gdwatch.errors import GdwatchError
from gdwatch.intake import watcher
from gdwatch.intake.watcher import Watch, _Listener
from gdwatch.jobs import installation
from gdwatch.root import lock, status_file
from gdwatch.root.status_file import Status
from tests import build
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


def test_folders_deeper_than_gdwatch_looks_are_not_watched(inbox: Path) -> None:
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
        assert not watch.is_polling
        assert not watch.unwatched


def in_a_kernel_that_watches(folders: int, program: str, *words: object) -> dict[str, Any]:
    """Run a program in a user namespace whose limit of watches is this; what it prints as JSON."""
    limit = f"echo {folders} > /proc/sys/user/max_inotify_watches"
    begin = ["unshare", "--user", "--map-root-user", "sh", "-c", f'{limit} && exec "$@"', "sh"]
    command = [*begin, sys.executable, "-c", program, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare" in done.stderr or "max_inotify" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


_LIMITED = """
import json, os, sys, time
from contextlib import closing
from pathlib import Path
from gdwatch.intake.watcher import Watch
inbox, limit = Path(sys.argv[1]), Path("/proc/sys/user/max_inotify_watches")
with closing(Watch(os.fsencode(inbox), "events")) as watch:
    watch.keep()
    said = {"unwatched": watch.unwatched, "remedy": watch.remedy(),
            "rescan_s": watch.rescan_s(30), "slow": watch.rescan_s(30, 4)}
    def arrives(name):
        end = time.monotonic() + 5
        (inbox.parent / "x").write_bytes(b"1")
        (inbox.parent / "x").rename(inbox / name)
        while os.fsencode(inbox / name) not in watch.arrivals and time.monotonic() < end:
            time.sleep(0.01)
        return os.fsencode(inbox / name) in watch.arrivals
    said["upper"] = arrives("x") and arrives("3/x")
    limit.write_text("1000")
    watch.retry()
    watch.keep()
    said["then"] = [watch.unwatched, watch.rescan_s(30), watch.remedy(), arrives("3/b/x")]
print(json.dumps(said))
"""


def test_more_folders_than_the_kernel_watches_are_watched_from_above(inbox: Path) -> None:
    """As many as it takes, the upper ones first; all, once it takes them."""
    for number in range(8):
        for below in "ab":
            (inbox / str(number) / below).mkdir(parents=True)
    said = in_a_kernel_that_watches(12, _LIMITED, inbox)
    assert said["unwatched"] == 1 + 8 + 16 - 12
    assert (said["rescan_s"], said["slow"]) == (2, 20)
    assert said["upper"]
    name, _, number = said["remedy"].rpartition("=")
    assert name == "sudo sysctl fs.inotify.max_user_watches"
    assert int(number) > 25
    assert said["then"] == [0, 30, "", True]


def test_a_new_folder_that_the_kernel_does_not_watch_is_told_once(inbox: Path) -> None:
    program = """
import json, os, sys, time
from contextlib import closing
from pathlib import Path
from structlog.testing import capture_logs
from gdwatch.intake.watcher import Watch
inbox = Path(sys.argv[1])
with closing(Watch(os.fsencode(inbox), "events")) as watch, capture_logs() as logs:
    watch.keep()
    for number in range(8):
        (inbox / str(number)).mkdir()
    end = time.monotonic() + 60
    while watch.unwatched < 5 and time.monotonic() < end:
        time.sleep(0.01)
    watch.keep()
    watch.keep()
print(json.dumps([each for each in logs]))
"""
    started, limited = in_a_kernel_that_watches(4, program, inbox)
    assert started["event"] == "watch.started"
    assert limited["event"] == "watch.limited"
    assert (limited["watched"], limited["unwatched"]) == (4, 5)
    assert limited["hint"].startswith("sudo sysctl fs.inotify.max_user_watches=")


def test_a_new_folder_is_one_event_whatever_it_holds(watch: Watch, inbox: Path) -> None:
    """And what is in it, and comes to it, is not missed."""
    tree = inbox.parent / "tree"
    for name in ("a", "b/c"):
        (tree / name).mkdir(parents=True)
        for number in range(100):
            (tree / name / f"{number}.jpg").write_bytes(b"1")
    seen: list[FileSystemEvent] = []
    with pytest.MonkeyPatch.context() as patch:
        notice = _Listener.on_any_event
        patch.setattr(
            _Listener, "on_any_event", lambda self, event: (seen.append(event), notice(self, event))
        )
        tree.rename(inbox / "tree")
        wait_until(lambda: watch.changed)
        outside = inbox.parent / "x"
        outside.write_bytes(b"1")
        outside.rename(inbox / "tree/b/c/x")
        wait_until(lambda: os.fsencode(inbox / "tree/b/c/x") in watch.arrivals)
    assert [type(event) for event in seen] == [DirCreatedEvent, FileMovedEvent]


def test_a_watch_can_be_stopped_while_it_walks(inbox: Path, monkeypatch: Any) -> None:
    for number in range(300):
        (inbox / str(number)).mkdir()
    monkeypatch.setattr(watcher, "_START_S", 0.0)
    with closing(Watch(os.fsencode(inbox), "events")) as watch:
        watch.keep()
        watch.stop()
        assert watch.is_polling
        assert not watch.is_starting
        watch.keep()
        wait_until(lambda: (watch.keep(), not watch.is_polling)[1])
        assert watch.changed


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


def test_doctor_names_the_folders_that_a_running_service_cannot_watch(inbox: Path) -> None:
    """By what the service says: its own watch has taken all that the kernel gives."""
    folders, settings = build.folders_of(build.make_root(inbox.parent / "root"))
    remedy = "sudo sysctl fs.inotify.max_user_watches=262144"
    told = Status("running", unwatched=7, watch_remedy=remedy)
    status_file.write(folders.state, told)
    look = partial(installation.CHECKS["notifications"], settings)
    assert look() == "the kernel tells of new files"
    with lock.hold(folders.state), pytest.raises(GdwatchError) as error:
        look()
    assert "7 folders of the inbox" in error.value.message
    assert error.value.hint.startswith(f"{remedy}; ")
