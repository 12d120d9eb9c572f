"""The lock of a root: only the process that holds it may move files.

It is an open file description lock (fcntl(2), F_OFD_SETLK): the kernel releases it however its
holder ends, and others can query it without taking it.
"""

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from gdwatch.errors import ActionNeeded, GdwatchError, HeldError
from gdwatch.files.users import name_of

log = structlog.get_logger()

_RETRY_S = 0.05
# struct flock: l_type, l_whence, l_start, l_len, l_pid; the whole file.
_FLOCK = "hhqqi4x"
_WHOLE = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)


@contextmanager
def hold(state: Path, *, briefly: bool = False) -> Iterator[None]:
    """Hold the root's lock. state: ROOT/.gdwatch.

    briefly: as a command does that only moves pending files. Without it, as the service does: it
        waits for such a command to release the lock.

    Raises HeldError if another process holds the lock, and ActionNeeded as `require_ours`.
    """
    require_ours(state)
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while not _take(descriptor):
            holder, _, brief = os.pread(descriptor, 32, 0).decode(errors="replace").partition(" ")
            if briefly or not brief:
                raise HeldError(
                    f"{state.parent}: another gdwatch holds this root "
                    f"(process {holder.strip() or '?'})",
                    "use the one that runs, or stop it first",
                )
            log.debug("lock.held", by=holder)
            time.sleep(_RETRY_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}{' briefly' if briefly else ''}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def require_ours(state: Path) -> None:
    """Raise ActionNeeded if another user left a lock file behind that cannot be written."""
    file = state / "lock"
    if not file.exists() or os.access(file, os.W_OK):
        return
    owner = file.stat().st_uid
    if owner != os.geteuid():
        raise ActionNeeded(
            f"{file}: belongs to {name_of(owner)}, and cannot be written",
            f"remove it: sudo rm {file}",
        )


def _take(descriptor: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _WHOLE)
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_held(state: Path) -> bool:
    """Whether a process holds the root's lock, which is not taken. Raises GdwatchError."""
    try:
        descriptor = os.open(state / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except PermissionError as error:
        raise GdwatchError(
            f"{state.parent}: permission denied", "run it as the user of the service"
        ) from error
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _WHOLE)
    finally:
        os.close(descriptor)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Lock one folder for `reprocess`, by flock(2). Raises HeldError if another one works on it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise HeldError(
                f"{folder}: another reprocess works on this folder", "wait until it has ended"
            ) from error
        yield
    finally:
        os.close(descriptor)
