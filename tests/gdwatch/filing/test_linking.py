import os
import tempfile
from pathlib import Path

import pytest

from gdwatch.errors import ActionNeeded
from gdwatch.filing.linking import require_links
from tests import build


def test_folders_of_one_file_system_can_be_linked_and_nothing_is_left_of_the_trial(
    root: Path,
) -> None:
    require_links(build.folders_of(root)[0])
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_two_file_systems_are_named_with_what_to_do(root: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if os.stat(elsewhere).st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm and the temporary folder are one file system")
        folders, _ = build.folders_of(root, male=Path(elsewhere, "male"))
        Path(elsewhere, "male").mkdir()
        with pytest.raises(ActionNeeded, match="two file systems") as raised:
            require_links(folders)
        assert raised.value.hint == "set `mode` to copy, or put both below one parent"
        assert [path for path in root.rglob("*") if path.is_file()] == []
