"""A move within a file system: a rename that never overwrites, or a link and an unlink."""

import contextlib
import ctypes
import errno
import os
from enum import Enum, auto

from gdwatch.files.content import Place
from gdwatch.files.durability import make_durable

_RENAME_NOREPLACE = 1
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # to this file system, or this kernel
_libc = ctypes.CDLL(None, use_errno=True)


class Moved(Enum):
    """How a move ended."""

    DONE = auto()  # the file lies at the target
    TAKEN = auto()  # something else lies there: a new target is needed
    CHANGED = auto()  # the source is not what was recorded
    GONE = auto()  # neither source nor target has the file


def rename_or_link(source: Place, target: Place, found: os.stat_result) -> Moved:
    """Move within a file system. Raises OSError with EXDEV where these are two."""
    try:
        _rename(source, target)
    except FileExistsError:
        return _give_up_old_name(source, target, found)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return _link(source, target, found)
    if not _same_file(found, target):
        _rename(target, source)  # another drop took the name between the look and the rename
        return Moved.CHANGED
    return Moved.DONE


def _rename(source: Place, target: Place) -> None:
    """Rename without ever overwriting: renameat2(2) with RENAME_NOREPLACE."""
    if _libc.renameat2(*source, *target, _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _link(source: Place, target: Place, found: os.stat_result) -> Moved:
    """Give the file its second name before it loses its first."""
    with contextlib.suppress(FileExistsError):
        os.link(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0],
                follow_symlinks=False)  # fmt: skip
    return _give_up_old_name(source, target, found)


def _give_up_old_name(source: Place, target: Place, found: os.stat_result) -> Moved:
    """Let a file that has both names, by our link or one from before a crash, lose its first."""
    if not _same_file(found, target):
        return Moved.TAKEN
    make_durable(target[0])
    remove_name(source, found)
    return Moved.DONE


def _same_file(found: os.stat_result, place: Place) -> bool:
    return os.path.samestat(found, os.stat(place[1], dir_fd=place[0], follow_symlinks=False))


def remove_name(place: Place, file: os.stat_result) -> None:
    """Take a name from a file, unless it is another's by now."""
    with contextlib.suppress(FileNotFoundError):
        if _same_file(file, place):
            os.unlink(place[1], dir_fd=place[0])
