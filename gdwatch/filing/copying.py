"""Copies, and moves to another file system: the copy is durable before the source is removed."""

import contextlib
import errno
import os
import stat

from gdwatch.files.content import Place, chunks, digest, digest_at, opened_to_read
from gdwatch.files.durability import make_durable
from gdwatch.filing.renaming import UNSUPPORTED, Moved, remove_name, rename_or_link
from gdwatch.root.folder_handles import Handles
from gdwatch.values import Entry


def move_by_copy(
    entry: Entry, handles: Handles, source: Place, target: Place, found: os.stat_result
) -> Moved:
    """Move a file to another file system: copy, verify, sync, publish, remove the source.

    found: the source's status when the move began.

    Returns DONE, TAKEN or CHANGED. Raises OSError, and as `make_durable`.
    """
    original = opened_to_read(source)
    try:
        copied = _copy(entry, handles, original, target, found)
        # A copy from before a crash is what the row says: a changed source is another drop.
        if copied is Moved.DONE and not _differs(original, found):
            remove_name(source, found)
        return copied
    finally:
        os.close(original)


def file_copy(
    entry: Entry, handles: Handles, source: Place, target: Place, found: os.stat_result
) -> Moved:
    """Make a durable copy of a file, which stays where it is. Returns and raises as above."""
    original = opened_to_read(source)
    try:
        return _copy(entry, handles, original, target, found)
    finally:
        os.close(original)


def _copy(
    entry: Entry, handles: Handles, original: int, target: Place, found: os.stat_result
) -> Moved:
    """Copy an open file, verify the copy, sync it and publish it, unless that is done already."""
    if not os.path.samestat(found, os.fstat(original)):
        return Moved.CHANGED
    copy = None
    if not _was_copied(entry, handles, original, found):
        copy = _publish_copy(original, entry, target)
        if copy is None:
            return Moved.CHANGED if _differs(original, found) else Moved.TAKEN
    make_durable(target[0])
    if copy is not None and _differs(original, found):
        remove_name(target, copy)
        return Moved.CHANGED
    return Moved.DONE


def _differs(descriptor: int, found: os.stat_result) -> bool:
    """Whether a file was written to since `found`: its size or modification time differs."""
    now = os.fstat(descriptor)
    return (now.st_size, now.st_mtime_ns) != (found.st_size, found.st_mtime_ns)


def _was_copied(entry: Entry, handles: Handles, original: int, found: os.stat_result) -> bool:
    """Whether the target is a copy from before a crash: it has the original's time and content."""
    there = handles.lstat(entry.target)
    return (
        there is not None
        and stat.S_ISREG(there.st_mode)
        and (there.st_size, there.st_mtime_ns) == (found.st_size, found.st_mtime_ns)
        and digest_at(handles.parent(entry.target)) == (entry.sha256 or digest(original))
    )


def _publish_copy(original: int, entry: Entry, target: Place) -> os.stat_result | None:
    """Copy into an unnamed file (O_TMPFILE), and link it to the target when it is complete.

    Returns the status of the copy; None if the target is taken, or the original is being changed.
    """
    folder, name = target
    try:
        copy = os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno not in (*UNSUPPORTED, errno.EISDIR, errno.ENOENT):  # open(2), O_TMPFILE
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
        if error.errno not in (*UNSUPPORTED, errno.EPERM, errno.EXDEV):  # no hard links there
            raise
    finally:
        os.close(copy)
    return _publish_part(original, entry, target)


def _publish_part(original: int, entry: Entry, target: Place) -> os.stat_result | None:
    """Do the same with a named part file, for a file system without O_TMPFILE."""
    folder = target[0]
    part = _part(entry.id)
    copy = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        if not _fill(copy, original, entry):
            return None
        made = os.fstat(copy)
        return made if rename_or_link((folder, part), target, made) is Moved.DONE else None
    finally:
        os.close(copy)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)


def _part(file_id: int) -> bytes:
    return b".gdwatch-%d.part" % file_id


def remove_part(entry: Entry, handles: Handles) -> None:
    """Remove the part file that may be left of a copy that a crash interrupted."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        folder = handles.parent(entry.target)[0]
        # On a read-only file system unlink(2) fails even for a name that does not exist.
        os.stat(_part(entry.id), dir_fd=folder, follow_symlinks=False)
        os.unlink(_part(entry.id), dir_fd=folder)


def _fill(copy: int, original: int, entry: Entry) -> bool:
    """Write the original's content, extended attributes, mode and times to a copy, durably.

    Returns False if the original was changed meanwhile. Raises OSError if the content differs from
    the recorded hash, and as `make_durable`.
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
    """Copy extended attributes. Raises OSError if one in the `user.` namespace cannot be set."""
    attributes = []
    with contextlib.suppress(OSError):  # no extended attributes on this file system
        attributes = os.listxattr(original)
    for attribute in attributes:
        try:
            os.setxattr(copy, attribute, os.getxattr(original, attribute))
        except OSError as error:
            # The system itself sets those of the other namespaces, for every file.
            if attribute.startswith("user."):
                why = f"its attribute {attribute!r} cannot be kept there ({error.strerror})"
                raise OSError(errno.EBADMSG, why) from error


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
