"""The bytes of a file: reading them whole or in chunks, and their SHA-256."""

import hashlib
import os
from collections.abc import Iterator

_CHUNK_BYTES = 1 << 20
TO_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
Place = tuple[int, bytes]  # a folder's handle, and a name in it


class Unreadable(OSError):  # noqa: N818 - what the file is, not what went wrong here
    """A file could not be read: its own trouble, and no sign of a disk that takes no more."""


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
    """SHA-256 of a file's content, from its beginning, whatever its size. Raises Unreadable."""
    sha256 = hashlib.sha256()
    for chunk in chunks(descriptor):
        sha256.update(chunk)
    return sha256.hexdigest()


def chunks(descriptor: int) -> Iterator[bytes]:
    """A file's content from its beginning, a piece at a time. Raises Unreadable."""
    at = 0
    while chunk := _read(descriptor, at):
        yield chunk
        at += len(chunk)


def _read(descriptor: int, at: int) -> bytes:
    try:
        return os.pread(descriptor, _CHUNK_BYTES, at)
    except OSError as error:
        raise Unreadable(error.errno, error.strerror) from error


def digest_at(place: Place) -> str:
    """SHA-256 of the file with this name in this folder. Raises Unreadable."""
    descriptor = opened_to_read(place)
    try:
        return digest(descriptor)
    finally:
        os.close(descriptor)


def opened_to_read(place: Place) -> int:
    """A descriptor of the file with this name in this folder; no link. Raises Unreadable."""
    folder, name = place
    try:
        return os.open(name, TO_READ, dir_fd=folder)
    except OSError as error:
        raise Unreadable(error.errno, error.strerror) from error


def read_whole(descriptor: int) -> bytes:
    """Read from the beginning to the end, wherever the descriptor stands."""
    read = []
    at = 0
    while chunk := os.pread(descriptor, _CHUNK_BYTES, at):
        read.append(chunk)
        at += len(chunk)
    return b"".join(read)
