import os
import subprocess
from pathlib import Path

import pytest

from gdwatch.errors import Trouble
from gdwatch.files.mounts import is_mount_point, kind_at, mount_of, on_network
from tests import build
from tests.faults.surroundings import skip_unless_allowed


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


MOUNTS = b"""22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:30 / /srv/share rw,relatime shared:5 master:1 - nfs4 server:/share rw
31 30 8:2 / /srv/share/local rw - xfs /dev/sdb1 rw
32 22 0:31 / /srv/our\\040photo\\134graphs rw - cifs //server/our\\040photos rw
33 22 0:32 / /srv/caf\xe9 rw - tmpfs tmpfs rw
34 22 8:3 / /srv/over rw - ext4 /dev/sdc1 rw
35 34 0:33 / /srv/over rw - fuse.sshfs someone@server: rw
36 22 0:34 / /srv/\\012- rw - 9p x rw
""".splitlines(keepends=True)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"/", b"ext4"),
        (b"/srv", b"ext4"),
        (b"/srv/share", b"nfs4"),
        (b"/srv/share/inbox", b"nfs4"),
        (b"/srv/shared", b"ext4"),
        (b"/srv/share/local/inbox", b"xfs"),
        (b"/srv/our photo\\graphs/inbox", b"cifs"),
        (b"/srv/our", b"ext4"),
        (b"/srv/caf\xe9/inbox", b"tmpfs"),
        (b"/srv/over/inbox", b"fuse.sshfs"),
        (b"/srv/\n-/inbox", b"9p"),
    ],
)
def test_the_kind_of_a_disk_is_that_of_the_last_mount_nearest_to_a_path(
    path: bytes, kind: bytes
) -> None:
    assert kind_at(path, MOUNTS) == kind


def test_a_local_folder_is_not_on_the_network(tmp_path: Path) -> None:
    assert not on_network(os.fsencode(tmp_path))
    assert not on_network(b"/proc")


def test_a_mount_whose_name_is_no_text_says_nothing_of_the_others(tmp_path: Path) -> None:
    point = os.fsencode(tmp_path) + b"/caf\xe9\r"
    os.mkdir(point)
    skip_unless_allowed("mount", "-t", "tmpfs", "gdwatch-test", os.fsdecode(point))
    try:
        assert not on_network(os.fsencode(tmp_path))
        assert not on_network(point)
    finally:
        subprocess.run(["umount", "-l", point], check=True)
