import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gdwatch.errors import GdwatchError, Trouble
from gdwatch.files.durability import make_durable
from gdwatch.root import folders as folders_
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from tests import build


def test_a_folder_that_is_open_already_gives_no_way_out_of_it(folders: Folders, root: Path) -> None:
    with Handles(folders) as handles:
        inside = os.fsencode(root / "inbox")
        assert handles.parent(inside + b"/a.jpg")[1] == b"a.jpg"
        for step in (b"", b".", b".."):
            with pytest.raises(ValueError, match="below none"):
                handles.parent(inside + b"/" + step)


def test_a_folder_that_is_open_already_is_still_asked_whether_it_can_be_written(
    folders: Folders, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = os.fsencode(root / "male" / "a.jpg")
    with Handles(folders) as handles:
        handles.parent(path)
        handles.parent(path, make=True)
        monkeypatch.setattr(folders_.os, "access", lambda *_, **__: False)
        with pytest.raises(Trouble, match="cannot be written"):
            handles.parent(path, make=True)


def test_a_folder_below_a_link_is_not_opened(folders: Folders, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.jpg").write_bytes(b"")
    (root / "inbox" / "link").symlink_to(tmp_path / "outside")
    with Handles(folders) as handles:
        assert handles.lstat(folders.inbox + b"/link/a.jpg") is None
        with pytest.raises(NotADirectoryError):
            handles.parent(folders.inbox + b"/link/a.jpg")


def test_a_root_that_has_become_a_link_is_not_entered(
    folders: Folders, root: Path, tmp_path: Path
) -> None:
    root.rename(tmp_path / "taken")
    (tmp_path / "other" / "inbox").mkdir(parents=True)
    root.symlink_to(tmp_path / "other")
    with Handles(folders) as handles:
        for path in (folders.inbox, folders.answers["male"]):
            with pytest.raises(Trouble, match="not a directory"):
                handles.base(path)
    assert os.listdir(tmp_path / "other") == ["inbox"]


def test_folders_on_the_way_are_made_where_asked(folders: Folders, root: Path) -> None:
    with Handles(folders) as handles:
        with pytest.raises(FileNotFoundError):
            handles.parent(folders.answers["male"] + b"/a/b/c.jpg")
        handles.parent(folders.answers["male"] + b"/a/b/c.jpg", make=True)
        handles.sync()
    assert (root / "male" / "a" / "b").is_dir()


def test_an_answer_folder_is_made_again_and_the_inbox_is_not(folders: Folders, root: Path) -> None:
    (root / "male").rmdir()
    (root / "inbox").rmdir()
    with Handles(folders) as handles:
        handles.base(folders.answers["male"])
        with pytest.raises(Trouble, match=r"inbox .*: no such file or directory; put it back"):
            handles.base(folders.inbox)
    assert (root / "male").is_dir()
    assert not (root / "inbox").exists()


def test_no_answer_folder_is_made_where_the_root_itself_is_gone(
    folders: Folders, root: Path
) -> None:
    for path in (root / "male", root / ".gdwatch"):
        path.rmdir()
    with Handles(folders) as handles, pytest.raises(Trouble, match="put it back, or mount it"):
        handles.base(folders.answers["male"])
    assert not (root / "male").exists()


def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is made durable from here on, in order."""
    found: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(folders_.os, "fsync", noted)
    return found


def test_new_names_are_made_durable_before_old_ones_go(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Handles(folders) as handles:
        handles.left(handles.base(folders.inbox))
        handles.touched(handles.base(folders.answers["male"]))
        found = synced(monkeypatch)
        handles.sync()
    assert found == ["male", "inbox"]


def test_every_folder_that_is_made_is_made_durable(
    folders: Folders, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "male").rmdir()
    with Handles(folders) as handles:
        found = synced(monkeypatch)
        handles.parent(folders.answers["male"] + b"/a/b/c.jpg", make=True)
        handles.sync()
    assert set(found) == {"root", "male", "a"}


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.EIO, GdwatchError), (errno.ENOSPC, Trouble), (errno.EDQUOT, Trouble)],
)
def test_what_cannot_be_made_durable_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[GdwatchError]
) -> None:
    with failing_fsync(monkeypatch, number), (tmp_path / "a\nb").open("w") as file:
        with pytest.raises(error, match=r"/a\\x0ab: ") as caught:
            make_durable(file.fileno())
        assert isinstance(caught.value, Trouble) == (error is Trouble)


def test_a_file_system_that_knows_no_fsync_of_folders_stops_nothing(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    with failing_fsync(monkeypatch, errno.EINVAL), Handles(folders) as handles:
        handles.touched(handles.base(folders.answers["male"]))
        handles.sync()


@contextmanager
def failing_fsync(monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    """A disk that answers every fsync with this error."""

    def failing(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(folders_.os, "fsync", failing)
        yield


def test_handles_are_closed_in_the_end(folders: Folders) -> None:
    before = os.listdir("/proc/self/fd")
    with Handles(folders) as handles:
        handles.parent(folders.answers["male"] + b"/a/b.jpg", make=True)
    assert os.listdir("/proc/self/fd") == before


def test_folders_that_are_only_looked_into_do_not_stay_open(folders: Folders, root: Path) -> None:
    paths = [f"male/{number}/b/c/a.jpg" for number in range(20)]
    for path in paths:
        (root / path).parent.mkdir(parents=True)
        (root / path).write_bytes(b"")
    before = os.listdir("/proc/self/fd")
    with build.files_left_to_open(3), Handles(folders) as handles:
        for path in paths:
            inside = os.fsencode(root / path)
            assert handles.is_file(inside)
            assert not handles.is_file(inside + b"/more")
            assert not handles.is_file(inside.replace(b"/b/", b"/none/"))
            assert handles.may_be_filed_in(inside.rpartition(b"/")[0])
    assert os.listdir("/proc/self/fd") == before


def test_only_a_regular_file_is_a_file(folders: Folders, root: Path) -> None:
    (root / "male" / "link").symlink_to(__file__)
    (root / "male" / "file").write_bytes(b"")
    with Handles(folders) as handles:
        assert handles.is_file(folders.answers["male"] + b"/file")
        assert not handles.is_file(folders.answers["male"] + b"/link")
        assert not handles.is_file(folders.answers["male"] + b"/none")
        assert not handles.is_file(b"/etc/passwd")
