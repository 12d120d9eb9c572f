"""Where a file goes, and getting it there without losing a byte. All that changes files is here.

A move is a rename that never overwrites; where the file system cannot do that, a link and an
unlink; across file systems a copy that is verified and durable before its source goes.
"""

import contextlib
import ctypes
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from enum import Enum, auto
from typing import Literal

from gdwatch.folders import Folders, Handles, make_durable
from gdwatch.values import Entry, Outcome

_RENAME_NOREPLACE = 1
_NAME_BYTES = 255
_ATTEMPTS = 9  # names with an id: the first is free unless people use such names
_CHUNK_BYTES = 1 << 20
_libc = ctypes.CDLL(None, use_errno=True)

Layout = Literal["tree", "date"]
Place = tuple[int, bytes]  # a folder's handle, and a name in it


class Moved(Enum):
    """How a move ended."""

    DONE = auto()  # the file lies at the target
    TAKEN = auto()  # something else lies there: a new target is needed
    CHANGED = auto()  # the source is not what was recorded
    GONE = auto()  # neither source nor target has the file


# ------------------------------------------------------------------------- where it goes


def target(
    folders: Folders,
    outcome: Outcome,
    original: bytes,
    layout: Layout,
    decided_at: datetime,
) -> bytes:
    """Where a file belongs: `male/wedding/IMG_1.jpg` or `male/2026/11/23/IMG_1.jpg`."""
    _, steps = folders.split(original)
    if layout == "date":
        steps = [*decided_at.strftime("%Y/%m/%d").encode().split(b"/"), steps[-1]]
    return b"/".join((folders.answers[outcome], *steps))


def candidates(handles: Handles, wanted: bytes, file_id: int) -> Iterator[bytes]:
    """Paths for a file, the wanted one first; then with its id: `IMG_1~48213.jpg`.

    Where a folder's name is a file's, or the folder is not ours to use, it becomes
    `wedding~48213` in all of them.
    """
    base, steps = handles.folders.split(wanted)
    path = base
    for number, step in enumerate(steps[:-1]):
        path += b"/" + step
        if not handles.may_be_filed_in(path):
            steps[number] = with_id(step, file_id)
            break
    yield b"/".join((base, *steps))
    name = steps.pop()
    for attempt in range(1, _ATTEMPTS + 1):
        yield b"/".join((base, *steps, with_id(name, file_id, attempt)))


def with_id(name: bytes, file_id: int, attempt: int = 1) -> bytes:
    """Put an id before the suffix of a name, within the 255 bytes that a name may have.

    attempt: from the second on, a number follows the id.
    """
    stem, dot, suffix = name.rpartition(b".")
    if not stem or len(suffix) > 16:
        stem, dot, suffix = name, b"", b""
    mark = b"~%d" % file_id if attempt == 1 else b"~%d-%d" % (file_id, attempt)
    end = mark + dot + suffix
    short = stem[: _NAME_BYTES - len(end)]
    while short and _is_text(stem) and not _is_text(short):
        short = short[:-1]  # not in the middle of a character
    return short + end


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


# ------------------------------------------------------------------------- getting it there


def sync_contents(descriptors: Sequence[int]) -> None:
    """Make the bytes of dropped files durable before a row says that they were decided.

    Raises as `make_durable`.
    """
    with ThreadPoolExecutor(max_workers=8) as threads:
        for _ in threads.map(make_durable, descriptors):
            pass


def move(entry: Entry, handles: Handles, held: int | None) -> Moved:
    """Bring a file from its source to its target; safe to repeat after a crash anywhere.

    held: the descriptor through which the file was judged, if this process has judged it;
        else the source is read again and its hash compared.

    Raises OSError as the kernel gives it.
    """
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
        moved = _copy(entry, handles, (source, name), target)
    handles.touched(target[0])
    handles.left(source)
    return moved


def changed_since(entry: Entry, held: int) -> bool:
    """Whether the file was written to after it was read."""
    now = os.fstat(held)
    return (now.st_size, now.st_mtime_ns) != (entry.size_bytes, entry.modified_ns)


def stable_digest(descriptor: int) -> tuple[os.stat_result, str]:
    """Hash a file that may be being written to: what was hashed has this size and time.

    A writer that never rests is not waited for: the third look stands.
    """
    for _ in range(3):
        before = os.fstat(descriptor)
        sha256 = digest(descriptor)
        after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            break
    return after, sha256


def digest(descriptor: int) -> str:
    """SHA-256 of a file's content, from its beginning, whatever its size."""
    sha256 = hashlib.sha256()
    at = 0
    while chunk := os.pread(descriptor, _CHUNK_BYTES, at):
        sha256.update(chunk)
        at += len(chunk)
    return sha256.hexdigest()


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
    if is_drop and found.st_mtime_ns != entry.modified_ns:
        return False
    if held is not None:
        return os.path.samestat(found, os.fstat(held))
    return entry.sha256 is None or digest_at(place) == entry.sha256


def _has_content(path: bytes, entry: Entry, handles: Handles) -> bool:
    found = handles.lstat(path)
    if found is None or not stat.S_ISREG(found.st_mode) or found.st_size != entry.size_bytes:
        return False
    if entry.sha256 is None:
        return found.st_mtime_ns == entry.modified_ns
    return digest_at(handles.parent(path)) == entry.sha256


def digest_at(place: Place) -> str:
    """SHA-256 of the file with this name in this folder. Raises OSError."""
    folder, name = place
    descriptor = os.open(
        name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
    )
    try:
        return digest(descriptor)
    finally:
        os.close(descriptor)


def _rename_or_link(source: Place, target: Place, found: os.stat_result) -> Moved:
    """Move within a file system. Raises OSError with EXDEV where these are two."""
    try:
        _rename(source, target)
    except FileExistsError:
        if not _same_file(found, target):
            return Moved.TAKEN
        os.unlink(source[1], dir_fd=source[0])  # our own link, from before a crash
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        return _link(source, target)
    return Moved.DONE


def _rename(source: Place, target: Place) -> None:
    """Rename without ever overwriting: renameat2(2) with RENAME_NOREPLACE."""
    if _libc.renameat2(*source, *target, _RENAME_NOREPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _same_file(found: os.stat_result, place: Place) -> bool:
    return os.path.samestat(found, os.stat(place[1], dir_fd=place[0], follow_symlinks=False))


def _link(source: Place, target: Place) -> Moved:
    """Give the file its second name before it loses its first."""
    try:
        os.link(source[1], target[1], src_dir_fd=source[0], dst_dir_fd=target[0],
                follow_symlinks=False)  # fmt: skip
    except FileExistsError:
        return Moved.TAKEN
    os.fsync(target[0])
    os.unlink(source[1], dir_fd=source[0])
    return Moved.DONE


def _copy(entry: Entry, handles: Handles, source: Place, target: Place) -> Moved:
    """Move to another file system: copy, verify, sync, publish, remove."""
    folder, name = target
    original = os.open(
        source[1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source[0]
    )
    try:
        before = os.fstat(original)
        # A copy from before a crash counts: it has the hash, and the time, of the original.
        there = handles.lstat(entry.target)
        published = (
            there is not None
            and there.st_mtime_ns == before.st_mtime_ns
            and _has_content(entry.target, entry, handles)
        )
        if not published and not _publish_copy(original, entry, folder, name):
            return Moved.TAKEN
        os.fsync(folder)
        after = os.fstat(original)
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            return Moved.CHANGED
        os.unlink(source[1], dir_fd=source[0])
    finally:
        os.close(original)
    return Moved.DONE


def _publish_copy(original: int, entry: Entry, folder: int, name: bytes) -> bool:
    """Copy into a file without a name, and give it one when it is whole; False if that is taken."""
    copy = os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        _each_chunk(original, lambda chunk: _write_all(copy, chunk))
        if digest(copy) != (entry.sha256 or digest(original)):
            raise OSError(errno.EIO, "the copy differs from what was recorded")
        status = os.fstat(original)
        for attribute in os.listxattr(original):
            os.setxattr(copy, attribute, os.getxattr(original, attribute))
        os.fchmod(copy, stat.S_IMODE(status.st_mode))
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.fsync(copy)
        try:
            os.link(f"/proc/self/fd/{copy}", name, dst_dir_fd=folder, follow_symlinks=True)
        except FileExistsError:
            return False
        return True
    finally:
        os.close(copy)


def _each_chunk(descriptor: int, use: Callable[[bytes], None]) -> None:
    at = 0
    while chunk := os.pread(descriptor, _CHUNK_BYTES, at):
        use(chunk)
        at += len(chunk)


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def remove_folder(parent: int, name: bytes) -> None:
    """Remove a sub-folder of the inbox if it is empty; the kernel refuses any other."""
    os.rmdir(name, dir_fd=parent)
