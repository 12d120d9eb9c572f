import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gdwatch.errors import Trouble
from gdwatch.files.identity import modified_ns
from gdwatch.intake.opening import Skipped, open_drop
from gdwatch.root.folder_handles import Handles
from gdwatch.values import Drop, Opened
from tests import build


def opened(root: Path, drop: Drop) -> Opened | Skipped:
    with Handles(build.folders_of(root)[0]) as handles:
        found = open_drop(drop, handles)
    if isinstance(found, Opened):
        os.close(found.descriptor)
    return found


def test_a_drop_is_opened(root: Path) -> None:
    drop = build.drop_of(build.put(root, "wedding/a.jpg", b"1"))
    found = opened(root, drop)
    assert isinstance(found, Opened)
    assert found.drop == drop


@pytest.mark.parametrize(("seconds", "kept"), [(2**34, 2**63 - 1), (-(2**34), -(2**63))])
def test_a_date_that_no_database_knows_is_the_nearest_that_it_does(seconds: int, kept: int) -> None:
    with tempfile.TemporaryFile(dir="/dev/shm") as file:  # a file system that knows such years
        os.utime(file.fileno(), (0, seconds))
        assert modified_ns(os.fstat(file.fileno())) == kept


def test_a_drop_that_went_away_is_skipped(root: Path) -> None:
    drop = build.drop_of(build.put(root, "a.jpg", b"1"))
    os.unlink(drop.path)
    assert opened(root, drop) == Skipped("vanished")


@pytest.mark.parametrize("kind", ["written", "replaced", "link", "fifo", "folder", "socket"])
def test_a_drop_that_is_something_else_by_now_is_never_read(root: Path, kind: str) -> None:
    path = build.put(root, "a.jpg", b"1")
    drop = build.drop_of(path)
    if kind == "written":
        path.write_bytes(b"22")
    else:
        path.rename(root / "elsewhere")
    match kind:
        case "replaced":
            path.write_bytes(b"1")
        case "link":
            path.symlink_to(root / "elsewhere")
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "socket":
            import socket

            with socket.socket(socket.AF_UNIX) as channel:
                channel.bind(str(path))
    found = opened(root, drop)
    assert isinstance(found, Skipped)
    assert found.reason == "changed"


def test_a_drop_for_which_no_descriptor_is_left_is_waited_for(root: Path) -> None:
    drop = build.drop_of(build.put(root, "a.jpg", b"1"))
    with Handles(build.folders_of(root)[0]) as handles:
        handles.parent(drop.path)
        with build.files_left_to_open(0), pytest.raises(Trouble, match="open files") as caught:
            open_drop(drop, handles)
    assert caught.value.reason == "open_files"


def test_a_linked_folder_on_the_way_is_never_entered(root: Path, tmp_path: Path) -> None:
    drop = build.drop_of(build.put(root, "wedding/a.jpg", b"1"))
    (root / "inbox" / "wedding").rename(tmp_path / "outside")
    (root / "inbox" / "wedding").symlink_to(tmp_path / "outside")
    assert opened(root, drop) == Skipped("vanished")


AS_NOBODY = """
import os, sys, pathlib
root = pathlib.Path(sys.argv[1])
from gdwatch.intake.inbox import Inbox
from gdwatch.intake.opening import open_drop, Skipped
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
settings = Settings(root=root, settle_ms=50)
folders = Folders.of(settings)
inbox = Inbox(folders, settings, once=True)  # imported and made as root, listed as another user
os.setgid(65534); os.setuid(65534)
drops = [drop for moment in (0.0, 1.0) for drop in inbox.ready(99, moment)]
with Handles(folders) as handles:
    for drop in sorted(drops, key=lambda drop: drop.path):
        found = open_drop(drop, handles)
        shown = found.hint if isinstance(found, Skipped) else "opened"
        print(os.path.basename(os.fsdecode(drop.path)), shown)
for path, why in inbox.skipped.items():
    print(os.path.basename(os.fsdecode(path)), why)
"""


@pytest.fixture
def as_nobody(root: Path, tmp_path: Path):
    """Lists and opens the inbox as another user; returns what that user gets of each file."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    os.chmod(root / "inbox", 0o777)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o777 == 0o700:  # as pytest makes its own
            os.chmod(folder, 0o755)

    def look() -> str:
        ended = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, root], capture_output=True, text=True, check=False
        )
        return ended.stdout + ended.stderr

    return look


def test_a_file_that_may_not_be_read_stays_with_the_command_that_mends_it(
    root: Path, as_nobody
) -> None:
    path = build.put(root, "private.jpg", b"1")
    path.chmod(0o600)
    assert as_nobody() == f"private.jpg setfacl -m u:65534:r {path}\n"


def test_a_file_in_a_folder_of_another_stays_with_the_command_that_mends_it(
    root: Path, as_nobody
) -> None:
    path = build.put(root, "theirs/a.jpg", b"1")
    assert as_nobody() == f"a.jpg setfacl -m u:65534:rwx {path.parent}\n"


def test_a_file_of_another_in_a_sticky_folder_stays(root: Path, as_nobody) -> None:
    path = build.put(root, "sticky/a.jpg", b"1")
    path.parent.chmod(0o1777)
    assert as_nobody() == f"a.jpg setfacl -m u:65534:rwx {path.parent}\n"


def test_a_file_that_may_be_read_and_moved_is_opened(root: Path, as_nobody) -> None:
    build.put(root, "a.jpg", b"1")
    assert as_nobody() == "a.jpg opened\n"


@pytest.mark.parametrize("mode", [0o700, 0o744, 0o711])
def test_a_folder_that_may_not_be_searched_stops_nothing(root: Path, as_nobody, mode: int) -> None:
    build.put(root, "a.jpg", b"1")
    build.put(root, "closed/b.jpg", b"1")
    (root / "inbox" / "closed").chmod(mode)
    lines = as_nobody().splitlines()
    assert lines[0] == "a.jpg opened"
    assert len(lines) == 2
    assert lines[1].endswith(" permission")
