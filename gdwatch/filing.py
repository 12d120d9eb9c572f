"""Getting a file where it goes without losing a byte. All that changes files is here.

A move is a rename that never overwrites; where the file system cannot do that, a link and an
unlink; across file systems a copy that is verified and durable before its source goes.
"""

import contextlib
import ctypes
import errno
import os
import stat
from enum import Enum, auto

from gdwatch.files.content import Place, chunks, digest, digest_at, opened_to_read
from gdwatch.files.durability import make_durable
from gdwatch.files.identity import modified_ns
from gdwatch.root.handles import Handles
from gdwatch.values import Entry

_RENAME_NOREPLACE = 1
_UNKNOWN = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # to this file system, or this kernel
_libc = ctypes.CDLL(None, use_errno=True)


class Moved(Enum):
    """How a move ended."""

    DONE = auto()  # the file lies at the target
    TAKEN = auto()  # something else lies there: a new target is needed
    CHANGED = auto()  # the source is not what was recorded
    GONE = auto()  # neither source nor target has the file


def move(entry: Entry, handles: Handles, held: int | None) -> Moved:
    """Bring a file from its source to its target; safe to repeat after a crash anywhere.

    held: the descriptor through which the file was judged, if this process has judged it;
        else the source is read again and its hash compared.

    Raises OSError as the kernel gives it, and as `make_durable`.
    """
    if held is None:
        _remove_part(entry, handles)
    try:
        source, name = handles.parent(entry.source)
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return _moved_before(entry, handles)
    if not _is_as_recorded(found, (source, name), entry, held, handles):
        # Before a crash it may have been moved, and another drop may have its old name since.
        return Moved.DONE if _moved_before(entry, handles) is Moved.DONE else Moved.CHANGED
    try:
        target = handles.parent(entry.target, make=True)
    except NotADirectoryError:
        return Moved.TAKEN
    try:
        moved = _rename_or_link((source, name), target, found)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        moved = _copy(entry, handles, (source, name), target, found)
    handles.touched(target[0])
    handles.left(source)
    return moved


def changed_since(entry: Entry, held: int) -> bool:
    """Whether the file was written to after it was read."""
    now = os.fstat(held)
    return (now.st_size, modified_ns(now)) != (entry.size_bytes, entry.modified_ns)


def _moved_before(entry: Entry, handles: Handles) -> Moved:
    """The file is not at its source: did a move end before a crash, its folders not yet synced?"""
    if not _has_content(entry.target, entry, handles):
        return Moved.GONE
    handles.touched_on_the_way(entry.target)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        handles.left(handles.parent(entry.source)[0])
    return Moved.DONE


def _is_as_recorded(
    found: os.stat_result, place: Place, entry: Entry, held: int | None, handles: Handles
) -> bool:
    if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size_bytes:
        return False
    # In the inbox another time means another drop. In an answer folder it means that someone
    # has touched the file: its bytes decide.
    is_drop = handles.folders.outcome_of(entry.source) is None
    if is_drop and modified_ns(found) != entry.modified_ns:
        return False
    if held is not None:
        return os.path.samestat(found, os.fstat(held))
    return entry.sha256 is None or digest_at(place) == entry.sha256


def _has_content(path: bytes, entry: Entry, handles: Handles) -> bool:
    found = handles.lstat(path)
    if found is None or not stat.S_ISREG(found.st_mode) or found.st_size != entry.size_bytes:
        return False
    if entry.sha256 is None:
        return modified_ns(found) == entry.modified_ns
    return digest_at(handles.parent(path)) == entry.sha256


def _rename_or_link(source: Place, target: Place, found: os.stat_result) -> Moved:
    """Move within a file system. Raises OSError with EXDEV where these are two."""
    try:
        _rename(source, target)
    except FileExistsError:
        return _give_up_old_name(source, target, found)
    except OSError as error:
        if error.errno not in _UNKNOWN:
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
    _remove(source, found)
    return Moved.DONE


def _same_file(found: os.stat_result, place: Place) -> bool:
    return os.path.samestat(found, os.stat(place[1], dir_fd=place[0], follow_symlinks=False))


def _remove(place: Place, file: os.stat_result) -> None:
    """Take a name from a file, unless it is another's by now."""
    with contextlib.suppress(FileNotFoundError):
        if _same_file(file, place):
            os.unlink(place[1], dir_fd=place[0])


def _copy(
    entry: Entry, handles: Handles, source: Place, target: Place, found: os.stat_result
) -> Moved:
    """Move to another file system: copy, verify, sync, publish, remove."""
    original = opened_to_read(source)
    try:
        if not os.path.samestat(found, os.fstat(original)):
            return Moved.CHANGED
        copy = None
        if not _was_copied(entry, handles, original, found):
            copy = _publish_copy(original, entry, target)
            if copy is None:
                return Moved.CHANGED if _differs(original, found) else Moved.TAKEN
        make_durable(target[0])
        if _differs(original, found):
            # Of a copy from before a crash the row is right: what changed is another drop.
            if copy is None:
                return Moved.DONE
            _remove(target, copy)
            return Moved.CHANGED
        _remove(source, found)
    finally:
        os.close(original)
    return Moved.DONE


def _differs(descriptor: int, found: os.stat_result) -> bool:
    """Whether a file was written to since it was found."""
    now = os.fstat(descriptor)
    return (now.st_size, now.st_mtime_ns) != (found.st_size, found.st_mtime_ns)


def _was_copied(entry: Entry, handles: Handles, original: int, found: os.stat_result) -> bool:
    """Whether the target is a copy from before a crash: it has the original's time and bytes."""
    there = handles.lstat(entry.target)
    return (
        there is not None
        and stat.S_ISREG(there.st_mode)
        and (there.st_size, there.st_mtime_ns) == (found.st_size, found.st_mtime_ns)
        and digest_at(handles.parent(entry.target)) == (entry.sha256 or digest(original))
    )


def _publish_copy(original: int, entry: Entry, target: Place) -> os.stat_result | None:
    """Copy into a file without a name, and give it one when it is whole.

    Returns what lies there now; None where the name is taken, or the original is being changed.
    """
    folder, name = target
    try:
        copy = os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno not in (*_UNKNOWN, errno.EISDIR, errno.ENOENT):  # open(2), O_TMPFILE
            raise
        return _publish_part(original, entry, target)
    try:
        if not _fill(copy, original, entry):
            return None
        os.link(f"/proc/self/fd/{copy}", name, dst_dir_fd=folder, follow_symlinks=True)
        return os.fstat(copy)
    except FileExistsError:
        return None
    except OSError as error:
        if error.errno not in (*_UNKNOWN, errno.EPERM, errno.EXDEV):  # no links there
            raise
    finally:
        os.close(copy)
    return _publish_part(original, entry, target)


def _publish_part(original: int, entry: Entry, target: Place) -> os.stat_result | None:
    """The same where the file system knows no files without a name."""
    folder = target[0]
    part = _part(entry.id)
    copy = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        if not _fill(copy, original, entry):
            return None
        made = os.fstat(copy)
        return made if _rename_or_link((folder, part), target, made) is Moved.DONE else None
    finally:
        os.close(copy)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)


def _part(file_id: int) -> bytes:
    return b".gdwatch-%d.part" % file_id


def _remove_part(entry: Entry, handles: Handles) -> None:
    """Remove what a copy that a crash has ended may have left."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        folder = handles.parent(entry.target)[0]
        # A read-only disk refuses to remove even what is not there.
        os.stat(_part(entry.id), dir_fd=folder, follow_symlinks=False)
        os.unlink(_part(entry.id), dir_fd=folder)


def _fill(copy: int, original: int, entry: Entry) -> bool:
    """Give a copy the original's bytes, attributes, mode and times, durably.

    Returns False where the original was changed meanwhile. Raises OSError.
    """
    found = os.fstat(original)
    for chunk in chunks(original):
        _write_all(copy, chunk)
    if digest(copy) != (entry.sha256 or digest(original)):
        if _differs(original, found):
            return False
        raise OSError(errno.EBADMSG, "the copy differs from what was recorded")
    _keep_attributes(original, copy)
    os.fchmod(copy, stat.S_IMODE(found.st_mode))
    os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
    make_durable(copy)
    return True


def _keep_attributes(original: int, copy: int) -> None:
    """Copy extended attributes. Raises OSError where one of a user's cannot be kept."""
    attributes = []
    with contextlib.suppress(OSError):  # a file system that has none
        attributes = os.listxattr(original)
    for attribute in attributes:
        try:
            os.setxattr(copy, attribute, os.getxattr(original, attribute))
        except OSError as error:
            # The others are labels of the system, which gives every file its own.
            if attribute.startswith("user."):
                why = f"its attribute {attribute!r} cannot be kept there ({error.strerror})"
                raise OSError(errno.EBADMSG, why) from error


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def remove_folder(parent: int, name: bytes) -> None:
    """Remove a sub-folder of the inbox if it is empty; the kernel refuses any other."""
    os.rmdir(name, dir_fd=parent)
