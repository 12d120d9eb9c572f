"""Opening a drop: through directory handles, and checked before it is read."""

import errno
import fcntl
import os
import signal
import stat
from dataclasses import dataclass

from gdwatch.files import escaping
from gdwatch.files.content import Place
from gdwatch.files.durability import require_descriptors
from gdwatch.files.identity import identity_of
from gdwatch.root.folder_handles import Handles
from gdwatch.values import Drop, Mode, Opened

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Skipped:
    """A drop that could not be opened, and stays in the inbox.

    reason: `permission`, `unreadable`, `vanished` or `changed`. hint: what to do about it.
    """

    reason: str
    hint: str = ""


def is_being_written(path: bytes, handles: Handles) -> bool:
    """Whether a process on this host has the file open for writing; False if that is unknown.

    Takes a read lease (fcntl(2), F_SETLEASE), which fails while a writer has the file open, and
    gives the lease back at once.
    """
    try:
        folder, name = handles.parent(path)
        descriptor = os.open(name, _FILE, dir_fd=folder)
    except OSError:
        return False  # `open_drop` will report why
    try:
        # A process that opens the file to write breaks the lease, and the kernel signals that.
        # SIGURG is ignored by default; SIGIO would end this process.
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


def open_drop(drop: Drop, handles: Handles, mode: Mode = "move") -> Opened | Skipped:
    """Open a drop for reading, if it is unchanged and may be filed later. mode: how it will be.

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
        return Skipped("changed", error.strerror or "")  # a link has replaced the file, for one
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or identity_of(status) != drop.identity:
        os.close(descriptor)
        return Skipped("changed")
    if mode == "link" and not _may_be_linked((folder, name), status):
        os.close(descriptor)
        file = escaping.quote_for_shell(drop.path)
        return Skipped("permission", f"setfacl -m u:{os.geteuid()}:rw {file}")
    if mode == "move" and not _may_be_moved(folder, status):
        os.close(descriptor)
        parent = escaping.quote_for_shell(os.path.dirname(drop.path))
        return Skipped("permission", f"setfacl -m u:{os.geteuid()}:rwx {parent}")
    return Opened(drop, descriptor)


def _may_be_linked(place: Place, status: os.stat_result) -> bool:
    """Whether Linux allows a second name (proc(5), fs.protected_hardlinks)."""
    folder, name = place
    may_write = os.access(
        name, os.R_OK | os.W_OK, dir_fd=folder, effective_ids=True, follow_symlinks=False
    )
    return may_write or os.geteuid() in (0, status.st_uid)


def _may_be_moved(folder: int, status: os.stat_result) -> bool:
    # By the name ".": faccessat(2) takes no empty path before Linux 5.8.
    if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True):
        return False
    directory = os.fstat(folder)
    if not directory.st_mode & stat.S_ISVTX:
        return True
    return os.geteuid() in (0, status.st_uid, directory.st_uid)
