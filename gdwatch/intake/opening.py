"""From a drop to an open descriptor: found again step by step, and checked before it is read."""

import errno
import fcntl
import os
import signal
import stat
from dataclasses import dataclass

from gdwatch.files import escaping
from gdwatch.files.durability import require_descriptors
from gdwatch.files.identity import identity_of
from gdwatch.root.folder_handles import Handles
from gdwatch.values import Drop, Opened

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that has to stay where it is.

    reason: `permission`, `unreadable`, `vanished` or `changed`.
    """

    reason: str
    hint: str = ""


def is_being_written(path: bytes, handles: Handles) -> bool:
    """Whether a process has the file open for writing, as far as this kernel knows and tells.

    By a read lease (fcntl(2), F_SETLEASE), which no file with a writer gets; given back at once.
    """
    try:
        folder, name = handles.parent(path)
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except OSError:
        return False  # whoever opens it to read it will say why that cannot be
    try:
        # To whom wants to write meanwhile the lease is broken, and we are told: by a signal that
        # does nothing, instead of SIGIO, which would end the process.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:  # another user's file, or a file system without leases
        return False
    finally:
        os.close(descriptor)
    return False


def open_drop(drop: Drop, handles: Handles) -> Opened | Skipped:
    """Open a drop that may be read now and moved later.

    Raises Trouble if too many files are open.
    """
    try:
        folder, name = handles.parent(drop.path)
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except (FileNotFoundError, NotADirectoryError):
        return Skipped("vanished")
    except PermissionError:
        return Skipped(
            "permission", f"setfacl -m u:{os.geteuid()}:r {escaping.quote_for_shell(drop.path)}"
        )
    except OSError as error:
        require_descriptors(error)
        if error.errno == errno.EIO:
            return Skipped("unreadable", "look after the disk")
        return Skipped("changed", error.strerror or "")  # a link where a file was a moment ago
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or identity_of(status) != drop.identity:
        os.close(descriptor)
        return Skipped("changed")
    if not _may_be_moved(folder, status):
        os.close(descriptor)
        holder = escaping.quote_for_shell(os.path.dirname(drop.path))
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
