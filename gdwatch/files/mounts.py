"""Which disk a folder lies on, and whether other hosts may change it."""

import os
from pathlib import Path

from gdwatch.files.durability import require_descriptors
from gdwatch.files.open_nofollow import PATH_ONLY

_NETWORK = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "gluster", "lustre", "afs", "virtiofs")


def mount_of(descriptor: int) -> int:
    """The id of the mount that a folder or file was opened through (proc(5), fdinfo).

    Where two mounts are of one device, as bind mounts are, nothing else tells them apart. Where
    the kernel does not tell it: the device. Raises Trouble if too many files are open.
    """
    try:
        told = os.open(b"/proc/self/fdinfo/%d" % descriptor, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        require_descriptors(error)
        raise
    try:
        _, _, rest = os.read(told, 1024).partition(b"mnt_id:")
    finally:
        os.close(told)
    return int(rest.split(None, 1)[0]) if rest else os.fstat(descriptor).st_dev


def is_mount_point(folder: int) -> bool:
    """Whether an open folder is where another disk begins, or a bind mount."""
    above = os.open("..", PATH_ONLY, dir_fd=folder)
    try:
        return mount_of(folder) != mount_of(above)
    finally:
        os.close(above)


def on_network(path: bytes) -> bool:
    """Whether other hosts may change this folder without this kernel knowing."""
    real = os.path.realpath(os.fsdecode(path))
    best, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4]
        if (real + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, right.split()[0]
    return kind.startswith(_NETWORK)
