"""Moves within a file system: a rename that never overwrites, or a link and an unlink."""

import contextlib
import ctypes
import errno
import os
from enum import Enum, auto

from gdwatch.files.content import Place
from gdwatch.files.durability import make_durable

_RENAME_NOREPLACE = 1
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # by the file system or the kernel
_NEITHER = "neither a rename that never overwrites nor a hard link is possible there"
_libc = ctypes.CDLL(None, use_errno=True)


class Moved(Enum):
    """How a move ended."""

    DONE = auto()  # the file lies at the target
    TAKEN = auto()  # something else lies there: a new target is needed
    CHANGED = auto()  # the source is not what was recorded
    GONE = auto()  # neither source nor target has the file


def rename_or_link(source: Place, target: Place, found: os.stat_result) -> Moved:
    """Move a file within a file system. found: the source's status.

    Returns DONE, TAKEN or CHANGED. Raises OSError, with EXDEV between two file systems, and as
    `make_durable`.
    """
    try:
        _rename(source, target)
    except FileExistsError:
        return _remove_old_name(source, target, found)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return _link(source, target, found)
    if not _same_file(found, target):
        _rename(target, source)  # another drop took the name between stat and rename
        return Moved.CHANGED
    return Moved.DONE


def _rename(source: Place, target: Place) -> None:
    """Rename without ever overwriting: renameat2(2) with RENAME_NOREPLACE."""
    if _libc.renameat2(*source, *target, _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _link(source: Place, target: Place, found: os.stat_result) -> Moved:
    """Move by link(2) and unlink(2): the file has its new name before it loses the old one."""
    try:
        os.link(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0],
                follow_symlinks=False)  # fmt: skip
    except FileExistsError:
        pass  # by a move before a crash, or another file
    except PermissionError as error:
        raise PermissionError(error.errno, _NEITHER) from error
    return _remove_old_name(source, target, found)


def _remove_old_name(source: Place, target: Place, found: os.stat_result) -> Moved:
    """Remove the source name of a file that has both, by our link or one from before a crash.

    Returns TAKEN if the target is another file.
    """
    if not _same_file(found, target):
        return Moved.TAKEN
    make_durable(target[0])
    remove_name(source, found)
    return Moved.DONE


def _same_file(found: os.stat_result, place: Place) -> bool:
    return os.path.samestat(found, os.stat(place[1], dir_fd=place[0], follow_symlinks=False))


def remove_name(place: Place, file: os.stat_result) -> None:
    """Unlink a name, unless it is another file's by now. file: the status of the file."""
    with contextlib.suppress(FileNotFoundError):
        if _same_file(file, place):
            os.unlink(place[1], dir_fd=place[0])
