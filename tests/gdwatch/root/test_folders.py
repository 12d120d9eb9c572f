"""TODO."""

import os
from pathlib import Path

import pytest

from gdwatch.root.folders import Folders
from tests import build


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
