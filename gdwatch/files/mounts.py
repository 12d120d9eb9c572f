"""Which mount a file or folder is on, and whether it is a network file system."""

import os
from pathlib import Path

from gdwatch.files.durability import require_descriptors
from gdwatch.files.open_nofollow import PATH_ONLY

_NETWORK = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "gluster", "lustre", "afs", "virtiofs")


def mount_of(descriptor: int) -> int:
    """The id of the mount through which a folder or file was opened (proc(5), fdinfo).

    Only this id distinguishes two mounts of one device, such as bind mounts. If the kernel does not
    give it, the device number. Raises Trouble if too many files are open.
    """
    try:
        fdinfo = os.open(b"/proc/self/fdinfo/%d" % descriptor, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        require_descriptors(error)
        raise
    try:
        _, _, rest = os.read(fdinfo, 1024).partition(b"mnt_id:")
    finally:
        os.close(fdinfo)
    return int(rest.split(None, 1)[0]) if rest else os.fstat(descriptor).st_dev


def is_mount_point(folder: int) -> bool:
    """Whether an open folder is a mount point, bind mounts included. Raises OSError, Trouble."""
    above = os.open("..", PATH_ONLY, dir_fd=folder)
    try:
        return mount_of(folder) != mount_of(above)
    finally:
        os.close(above)


def on_network(path: bytes) -> bool:
    """Whether a folder is on a network file system: inotify(7) misses changes by other hosts."""
    real = os.path.realpath(os.fsdecode(path))
    longest, file_system = "", ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4]
        if (real + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(longest):
            longest, file_system = point, right.split()[0]
    return file_system.startswith(_NETWORK)
