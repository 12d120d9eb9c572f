import ctypes
import errno
import os
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gdwatch.files import content
from gdwatch.filing import copying, renaming
from gdwatch.filing import move as moving
from gdwatch.filing.renaming import Moved
from gdwatch.intake import inbox_listing
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.values import Entry
from tests import build

CONTENT = b"a photograph, larger than one chunk " * 40_000


@pytest.fixture
def folders(root: Path) -> Folders:
    return build.folders_of(root)[0]


@pytest.fixture
def abroad(tmp_path: Path) -> Iterator[Folders]:
    """The answer folder `male` lies on another file system than the inbox."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if os.stat(elsewhere).st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm and the temporary folder are one file system")
        yield build.folders_of(build.make_root(tmp_path / "two"), male=Path(elsewhere, "male"))[0]


def dropped(folders: Folders, name: bytes = b"a.jpg", content: bytes = CONTENT) -> Entry:
    source = folders.inbox + b"/" + name
    os.makedirs(os.path.dirname(source), exist_ok=True)
    Path(os.fsdecode(source)).write_bytes(content)
    found = os.stat(source)
    target = folders.answers["male"] + b"/" + name
    return Entry(1, source, target, build.sha256(content), found.st_size, found.st_mtime_ns)


def move(folders: Folders, entry: Entry, held: int | None = None) -> Moved:
    with Handles(folders) as handles:
        moved = moving.move(entry, handles, held)
        handles.sync()
    return moved


@contextmanager
def opened(entry: Entry) -> Iterator[int]:
    descriptor = os.open(entry.source, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("place", ["folders", "abroad"])
def test_a_move_keeps_bytes_time_mode_and_attributes(
    place: str, request: pytest.FixtureRequest
) -> None:
    folders: Folders = request.getfixturevalue(place)
    entry = dropped(folders, b"wedding/church/a.jpg")
    os.chmod(entry.source, 0o640)
    os.utime(entry.source, ns=(1, entry.modified_ns))
    os.setxattr(entry.source, "user.rating", b"5 stars")
    before = os.stat(entry.source)
    assert move(folders, entry) is Moved.DONE
    after = os.stat(entry.target)
    assert Path(os.fsdecode(entry.target)).read_bytes() == CONTENT
    assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)
    assert os.getxattr(entry.target, "user.rating") == b"5 stars"
    assert not os.path.lexists(entry.source)


@pytest.mark.parametrize("place", ["folders", "abroad"])
@pytest.mark.parametrize("kind", ["file", "equal file", "dangling link", "folder"])
def test_a_move_never_overwrites(place: str, kind: str, request: pytest.FixtureRequest) -> None:
    folders: Folders = request.getfixturevalue(place)
    entry = dropped(folders)
    target = Path(os.fsdecode(entry.target))
    target.parent.mkdir(exist_ok=True)
    match kind:
        case "file":
            target.write_bytes(b"a person's")
        case "equal file":
            target.write_bytes(CONTENT)
        case "dangling link":
            target.symlink_to("nowhere")
        case "folder":
            target.mkdir()
    before = target.lstat()
    assert move(folders, entry) is Moved.TAKEN
    assert target.lstat() == before
    assert Path(os.fsdecode(entry.source)).read_bytes() == CONTENT


@pytest.mark.parametrize("place", ["folders", "abroad"])
def test_a_repeated_move_ends_well(place: str, request: pytest.FixtureRequest) -> None:
    folders: Folders = request.getfixturevalue(place)
    entry = dropped(folders)
    assert [move(folders, entry), move(folders, entry)] == [Moved.DONE, Moved.DONE]
    assert Path(os.fsdecode(entry.target)).read_bytes() == CONTENT


def test_a_copy_from_before_a_crash_is_kept_and_its_source_goes(abroad: Folders) -> None:
    entry = dropped(abroad)
    target = Path(os.fsdecode(entry.target))
    target.parent.mkdir()
    target.write_bytes(CONTENT)
    os.utime(target, ns=(0, entry.modified_ns))
    inode = target.stat().st_ino
    assert move(abroad, entry) is Moved.DONE
    assert target.stat().st_ino == inode
    assert not os.path.lexists(entry.source)


def test_a_failed_copy_leaves_nothing_behind(
    abroad: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = dropped(abroad)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "utime", full)  # the last step before the copy gets its name
        with pytest.raises(OSError, match="No space left"):
            move(abroad, entry)
    assert os.listdir(abroad.answers["male"]) == []
    assert Path(os.fsdecode(entry.source)).read_bytes() == CONTENT
    assert move(abroad, entry) is Moved.DONE


def test_a_copy_of_other_bytes_than_recorded_is_never_published(abroad: Folders) -> None:
    entry = dropped(abroad)
    with opened(entry) as held:
        with Path(os.fsdecode(entry.source)).open("r+b") as file:
            file.write(b"A")
        os.utime(entry.source, ns=(0, entry.modified_ns))
        with pytest.raises(OSError, match="differs from what was recorded"):
            move(abroad, entry, held)
    assert os.listdir(abroad.answers["male"]) == []
    assert os.path.exists(entry.source)


@contextmanager
def meanwhile(
    monkeypatch: pytest.MonkeyPatch, where: ModuleType, step: str, event: Callable[[], object]
) -> Iterator[None]:
    """Let something happen once, just before a step of the move; fail if that is never made."""
    do = getattr(where, step)
    events = [event]

    def stepped(*given: Any) -> Any:
        if events:
            events.pop()()
        return do(*given)

    with monkeypatch.context() as patched:
        patched.setattr(where, step, stepped)
        yield
    assert not events, f"{step} was never called"


def append(path: bytes) -> None:
    with open(path, "ab") as file:
        file.write(b"!")


def replaced(path: bytes) -> None:
    """Another drop under the same name, as `mv` brings it."""
    aside = path + b".part"
    Path(os.fsdecode(aside)).write_bytes(b"another photograph")
    os.rename(aside, path)


@pytest.mark.parametrize("step", ["_write_all", "_keep_attributes"])
def test_a_file_changed_while_its_copy_is_made_is_not_filed_as_it_was(
    abroad: Folders, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    entry = dropped(abroad)
    with opened(entry) as held, meanwhile(monkeypatch, copying, step, lambda: append(entry.source)):
        assert move(abroad, entry, held) is Moved.CHANGED
    assert os.listdir(abroad.answers["male"]) == []
    assert Path(os.fsdecode(entry.source)).read_bytes() == CONTENT + b"!"


def test_a_drop_that_takes_the_name_while_the_copy_is_made_stays(
    abroad: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = dropped(abroad)
    with (
        opened(entry) as held,
        meanwhile(monkeypatch, copying, "_keep_attributes", lambda: replaced(entry.source)),
    ):
        assert move(abroad, entry, held) is Moved.DONE
    assert Path(os.fsdecode(entry.target)).read_bytes() == CONTENT
    assert Path(os.fsdecode(entry.source)).read_bytes() == b"another photograph"


def test_a_drop_that_takes_the_name_just_before_the_rename_is_put_back(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = dropped(folders)
    with (
        opened(entry) as held,
        meanwhile(monkeypatch, renaming, "_rename", lambda: replaced(entry.source)),
    ):
        assert move(folders, entry, held) is Moved.CHANGED
    assert Path(os.fsdecode(entry.source)).read_bytes() == b"another photograph"
    assert os.listdir(folders.answers["male"]) == []


def test_a_file_too_large_to_be_read_is_not_taken_for_its_copy_by_size_and_time(
    abroad: Folders,
) -> None:
    entry = replace(dropped(abroad), sha256=None)
    target = Path(os.fsdecode(entry.target))
    target.parent.mkdir()
    target.write_bytes(CONTENT[:-1] + b"?")
    os.utime(target, ns=(0, entry.modified_ns))
    assert move(abroad, entry) is Moved.TAKEN
    assert Path(os.fsdecode(entry.source)).read_bytes() == CONTENT


def without_nameless_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows no O_TMPFILE."""
    opened = os.open

    def refusing(path: Any, flags: int, *given: Any, **named: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return opened(path, flags, *given, **named)

    monkeypatch.setattr(os, "open", refusing)


def without_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that gives no file a second name."""

    def refusing(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refusing)


@pytest.mark.parametrize("lacking", [without_nameless_files, without_links])
def test_a_copy_needs_neither_nameless_files_nor_links(
    abroad: Folders, monkeypatch: pytest.MonkeyPatch, lacking: Callable[[Any], None]
) -> None:
    entry = dropped(abroad)
    with monkeypatch.context() as patched:
        lacking(patched)
        assert move(abroad, entry) is Moved.DONE
    assert os.listdir(abroad.answers["male"]) == [b"a.jpg"]
    assert os.stat(entry.target).st_mtime_ns == entry.modified_ns
    assert not os.path.lexists(entry.source)


def test_what_a_crash_leaves_of_such_a_copy_is_removed(
    abroad: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = dropped(abroad)
    child = os.fork()
    if child == 0:
        without_nameless_files(monkeypatch)
        kill = partial(os.kill, os.getpid(), signal.SIGKILL)
        with meanwhile(monkeypatch, copying, "_keep_attributes", kill):
            move(abroad, entry)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert os.listdir(abroad.answers["male"]) == [b".gdwatch-1.part"]
    assert move(abroad, entry) is Moved.DONE
    assert os.listdir(abroad.answers["male"]) == [b"a.jpg"]


def test_a_users_attribute_that_cannot_be_kept_keeps_the_file_where_it_is(
    abroad: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = dropped(abroad)
    os.setxattr(entry.source, "user.rating", b"5 stars")

    def refusing(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    with monkeypatch.context() as patched:
        patched.setattr(os, "setxattr", refusing)
        with pytest.raises(OSError, match=r"user\.rating.* cannot be kept there"):
            move(abroad, entry)
    assert os.listdir(abroad.answers["male"]) == []
    assert os.path.exists(entry.source)


class Old:
    """A C library on a kernel that does not know the flag."""

    def renameat2(self, *_: object) -> int:
        ctypes.set_errno(errno.EINVAL)
        return -1


def test_a_link_from_before_a_crash_is_known_where_rename_does_not_know_the_flag(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = dropped(folders)
    os.link(entry.source, entry.target)
    monkeypatch.setattr(renaming, "_libc", Old())
    assert move(folders, entry) is Moved.DONE
    assert not os.path.lexists(entry.source)
    assert os.stat(entry.target).st_nlink == 1


def test_a_file_system_without_that_rename_gets_a_link(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = dropped(folders)
    monkeypatch.setattr(renaming, "_libc", Old())
    assert move(folders, entry) is Moved.DONE
    assert Path(os.fsdecode(entry.target)).read_bytes() == CONTENT
    other = dropped(folders)
    assert move(folders, other) is Moved.TAKEN
    assert os.path.exists(other.source)


def test_a_file_system_with_neither_keeps_the_file_and_says_so(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))  # as exFAT by FUSE

    entry = dropped(folders)
    monkeypatch.setattr(renaming, "_libc", Old())
    with monkeypatch.context() as patched:
        patched.setattr(os, "link", refusing)
        with pytest.raises(PermissionError, match=r"neither a rename .* nor a hard link"):
            move(folders, entry)
    assert os.path.exists(entry.source)
    assert not os.path.lexists(entry.target)


def test_both_names_of_one_file_become_the_new_one(folders: Folders) -> None:
    entry = dropped(folders)
    os.link(entry.source, entry.target)
    assert move(folders, entry) is Moved.DONE
    assert not os.path.lexists(entry.source)
    assert os.stat(entry.target).st_nlink == 1


def test_a_file_that_is_nowhere_is_gone(folders: Folders) -> None:
    entry = dropped(folders)
    os.unlink(entry.source)
    assert move(folders, entry) is Moved.GONE


def test_a_foreign_file_at_the_target_is_not_taken_for_ours(folders: Folders) -> None:
    entry = dropped(folders)
    os.unlink(entry.source)
    Path(os.fsdecode(entry.target)).write_bytes(CONTENT[:-1] + b"!")
    os.utime(entry.target, ns=(0, entry.modified_ns))
    assert move(folders, entry) is Moved.GONE


@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_source_that_is_no_regular_file_any_more_is_left_alone(
    folders: Folders, kind: str
) -> None:
    entry = dropped(folders)
    source = Path(os.fsdecode(entry.source))
    source.rename(source.with_name("elsewhere"))
    match kind:
        case "link":
            source.symlink_to("elsewhere")
        case "fifo":
            os.mkfifo(source)
        case "folder":
            source.mkdir()
    assert move(folders, entry) is Moved.CHANGED
    assert os.path.lexists(source)
    assert not os.path.lexists(entry.target)


def test_another_file_under_the_name_of_the_judged_one_is_left_alone(folders: Folders) -> None:
    entry = dropped(folders)
    with opened(entry) as held:
        source = Path(os.fsdecode(entry.source))
        source.unlink()
        source.write_bytes(CONTENT)
        os.utime(source, ns=(0, entry.modified_ns))
        assert move(folders, entry, held) is Moved.CHANGED
    assert source.exists()


def test_a_linked_folder_in_the_target_is_never_entered(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    Path(os.fsdecode(folders.answers["male"]), "wedding").symlink_to(tmp_path / "outside")
    entry = dropped(folders, b"wedding/a.jpg")
    assert move(folders, entry) is Moved.TAKEN
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_path_outside_the_folders_is_never_moved(folders: Folders, tmp_path: Path) -> None:
    entry = dropped(folders)
    target = os.fsencode(tmp_path / "outside.jpg")
    outside = Entry(1, entry.source, target, entry.sha256, entry.size_bytes, entry.modified_ns)
    with pytest.raises(ValueError, match="below none"):
        move(folders, outside)
    climbing = folders.answers["male"] + b"/../../outside.jpg"
    changed = Entry(1, entry.source, climbing, entry.sha256, entry.size_bytes, entry.modified_ns)
    with pytest.raises(ValueError, match="below none"):
        move(folders, changed)
    assert os.path.exists(entry.source)


def test_names_of_255_bytes_are_moved(folders: Folders) -> None:
    entry = dropped(folders, b"n" * 251 + b".jpg")
    assert move(folders, entry) is Moved.DONE


def test_a_file_written_to_since_it_was_read_is_noticed(folders: Folders) -> None:
    entry = dropped(folders)
    with opened(entry) as held:
        assert not moving.changed_since(entry, held)
        with open(entry.source, "ab") as file:
            file.write(b"!")
        assert moving.changed_since(entry, held)
        status, sha256 = content.stable_digest(held)
    assert (status.st_size, sha256) == (len(CONTENT) + 1, build.sha256(CONTENT + b"!"))


def test_a_hash_is_of_the_whole_file_wherever_the_descriptor_stands(folders: Folders) -> None:
    with opened(dropped(folders)) as held:
        os.lseek(held, 100, os.SEEK_SET)
        assert content.digest(held) == build.sha256(CONTENT)


def test_only_an_empty_folder_is_removed(root: Path) -> None:
    (root / "inbox" / "empty").mkdir()
    (root / "inbox" / "full").mkdir()
    (root / "inbox" / "full" / "a.jpg").write_bytes(b"")
    handle = os.open(root / "inbox", os.O_RDONLY | os.O_DIRECTORY)
    try:
        inbox_listing.remove_folder(handle, b"empty")
        with pytest.raises(OSError, match="not empty"):
            inbox_listing.remove_folder(handle, b"full")
    finally:
        os.close(handle)
    assert [path.name for path in (root / "inbox").iterdir()] == ["full"]
    assert stat.S_ISREG((root / "inbox" / "full" / "a.jpg").stat().st_mode)
