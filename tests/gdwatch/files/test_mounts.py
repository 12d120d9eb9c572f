import os
from pathlib import Path

from gdwatch.files.mounts import is_mount_point


def test_a_mount_begins_at_its_point_and_nowhere_below(tmp_path: Path) -> None:
    points = {Path("/proc"): True, Path("/proc/self/task"): False, tmp_path: False}
    for path, begins in points.items():
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            assert is_mount_point(folder) == begins
        finally:
            os.close(folder)
