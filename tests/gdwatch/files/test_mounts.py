import os
from pathlib import Path

import pytest

from gdwatch.errors import Trouble
from gdwatch.files.mounts import is_mount_point, mount_of
from tests import build


def test_a_mount_begins_at_its_point_and_nowhere_below(tmp_path: Path) -> None:
    points = {Path("/proc"): True, Path("/proc/self/task"): False, tmp_path: False}
    for path, begins in points.items():
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            assert is_mount_point(folder) == begins
        finally:
            os.close(folder)


def test_without_a_descriptor_left_nobody_can_say_where_a_folder_lies(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with build.files_left_to_open(0), pytest.raises(Trouble, match="open files") as caught:
            mount_of(folder)
    finally:
        os.close(folder)
    assert caught.value.reason == "open_files"
