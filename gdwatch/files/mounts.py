"""Which mount a file or folder is on, and whether it is a network file system."""

import os
import re
from collections.abc import Iterable

from gdwatch.files.durability import require_descriptors
from gdwatch.files.open_nofollow import PATH_ONLY

_NETWORK = (
    b"nfs", b"cifs", b"smb", b"fuse", b"9p", b"ceph", b"gluster", b"lustre", b"afs", b"virtiofs"
)  # fmt: skip


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
    """Whether a folder is on a network file system: inotify(7) misses changes by other hosts.

    Another disk may be mounted there later, with the id and the device number of this one: nothing
    but asking again tells. Raises Trouble if too many files are open.
    """
    try:
        with open("/proc/self/mountinfo", "rb") as mounts:
            return kind_at(os.path.realpath(path), mounts).startswith(_NETWORK)
    except OSError as error:
        require_descriptors(error)
        raise


def kind_at(path: bytes, mounts: Iterable[bytes]) -> bytes:
    """The kind of file system that a path lies on, such as `ext4`; empty where none is named.

    path: absolute, links resolved. mounts: the lines of mountinfo, see proc(5).
    """
    best, kind = b"", b""
    for line in mounts:
        left, _, right = line.partition(b" - ")
        point = _unescaped(left.split(b" ")[4])
        if (path + b"/").startswith(point.rstrip(b"/") + b"/") and len(point) >= len(best):
            best, kind = point, right.split(b" ")[0]
    return kind


def _unescaped(field: bytes) -> bytes:
    """A path as it is: the kernel writes spaces, line breaks and backslashes of it in octal."""
    return re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), field)
