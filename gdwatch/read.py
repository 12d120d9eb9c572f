"""From a drop to an open descriptor: found again step by step, and checked before it is read."""

import errno
import os
import stat
from dataclasses import dataclass

from gdwatch import names
from gdwatch.folders import Handles
from gdwatch.values import Drop, Identity, Opened

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that has to stay where it is.

    reason: `permission`, `unreadable`, `vanished` or `changed`.
    """

    reason: str
    hint: str = ""


def identity_of(status: os.stat_result) -> Identity:
    """What tells this state of a file from another."""
    return Identity(status.st_ino, status.st_size, modified_ns(status), status.st_ctime_ns)


def modified_ns(status: os.stat_result) -> int:
    """When a file was changed, as near as the 64 bits of a database come (the years 1678 to 2262).

    File systems reach further, and a file with such a date is a drop like any other.
    """
    return max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))


def open_drop(drop: Drop, handles: Handles) -> Opened | Skipped:
    """Open a drop that may be read now and moved later."""
    try:
        folder, name = handles.parent(drop.path)
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return Skipped("vanished")
    except PermissionError:
        return Skipped("permission", f"setfacl -m u:{os.geteuid()}:r {names.to_shell(drop.path)}")
    except OSError as error:
        if error.errno == errno.EIO:
            return Skipped("unreadable", "look after the disk")
        return Skipped("changed", error.strerror or "")  # a link where a file was a moment ago
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or identity_of(status) != drop.identity:
        os.close(descriptor)
        return Skipped("changed")
    if not _may_be_moved(folder, status):
        os.close(descriptor)
        holder = names.to_shell(os.path.dirname(drop.path))
        return Skipped("permission", f"setfacl -m u:{os.geteuid()}:rwx {holder}")
    return Opened(drop, descriptor)


def _may_be_moved(folder: int, status: os.stat_result) -> bool:
    # By the handle's own path: faccessat(2) has no form without a name before Linux 5.8.
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True):
        return False
    directory = os.fstat(folder)
    if not directory.st_mode & stat.S_ISVTX:
        return True
    return os.geteuid() in (0, status.st_uid, directory.st_uid)
