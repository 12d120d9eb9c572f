import os
from pathlib import Path

import pytest

from gdwatch.errors import Trouble
from gdwatch.folders import Folders, Handles
from tests import build


@pytest.fixture
def folders(root: Path) -> Folders:
    return build.folders_of(root)[0]


def test_each_folder_may_be_put_elsewhere(root: Path, tmp_path: Path) -> None:
    folders, _ = build.folders_of(root, male=tmp_path / "men")
    assert folders.answers["male"] == os.fsencode(tmp_path / "men")
    assert folders.answers["female"] == os.fsencode(root / "female")
    assert folders.state == root / ".gdwatch"


def test_a_link_to_the_root_is_resolved_once(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert build.folders_of(tmp_path / "link")[0] == build.folders_of(root)[0]


def test_a_path_is_split_at_its_folder(folders: Folders) -> None:
    assert folders.split(folders.inbox + b"/a/b.jpg") == (folders.inbox, [b"a", b"b.jpg"])
    assert folders.outcome_of(folders.answers["male"] + b"/b.jpg") == "male"
    assert folders.outcome_of(folders.inbox + b"/b.jpg") is None


@pytest.mark.parametrize(
    "path", [b"/etc/passwd", b"/inbox", b"/inbox/", b"/inbox/../x", b"/inboxes/x"]
)
def test_a_path_outside_is_refused(folders: Folders, path: bytes) -> None:
    with pytest.raises(ValueError, match="below none"):
        folders.split(folders.root + path if path.startswith(b"/inbox") else path)


def test_a_folder_below_a_link_is_not_opened(folders: Folders, root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.jpg").write_bytes(b"")
    (root / "inbox" / "link").symlink_to(tmp_path / "outside")
    with Handles(folders) as handles:
        assert handles.lstat(folders.inbox + b"/link/a.jpg") is None
        with pytest.raises(NotADirectoryError):
            handles.parent(folders.inbox + b"/link/a.jpg")


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


def test_handles_are_closed_in_the_end(folders: Folders) -> None:
    before = os.listdir("/proc/self/fd")
    with Handles(folders) as handles:
        handles.parent(folders.answers["male"] + b"/a/b.jpg", make=True)
    assert os.listdir("/proc/self/fd") == before


def test_only_a_regular_file_is_a_file(folders: Folders, root: Path) -> None:
    (root / "male" / "link").symlink_to(__file__)
    (root / "male" / "file").write_bytes(b"")
    with Handles(folders) as handles:
        assert handles.is_file(folders.answers["male"] + b"/file")
        assert not handles.is_file(folders.answers["male"] + b"/link")
        assert not handles.is_file(folders.answers["male"] + b"/none")
        assert not handles.is_file(b"/etc/passwd")
