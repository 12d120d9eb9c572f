"""Reading a file's bytes, whole or in chunks, and their SHA-256."""

import hashlib
import os
from collections.abc import Iterator

from gdwatch.files.identity import identity_of
from gdwatch.values import Identity

_CHUNK_BYTES = 1 << 20
TO_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
Place = tuple[int, bytes]  # a folder's descriptor, and a name in it


class Unreadable(OSError):  # noqa: N818 - a property of the file
    """A file could not be read. This concerns the one file: it is no sign of a full disk."""


def stable_digest(descriptor: int) -> tuple[os.stat_result, str]:
    """Return stat result and SHA-256 of one state of a file that may be being written to.

    If size or modification time changes during each of three reads, the last result is returned.
    Raises Unreadable.
    """
    for _ in range(3):
        before = os.fstat(descriptor)
        sha256 = digest(descriptor)
        after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            break
    return after, sha256


def digest(descriptor: int) -> str:
    """SHA-256 of a file's content as hexadecimal digits, read in chunks. Raises Unreadable."""
    sha256 = hashlib.sha256()
    for chunk in chunks(descriptor):
        sha256.update(chunk)
    return sha256.hexdigest()


def chunks(descriptor: int) -> Iterator[bytes]:
    """Yield a file's content in chunks of 1 MiB at most. Raises Unreadable."""
    offset = 0
    while chunk := _read(descriptor, offset):
        yield chunk
        offset += len(chunk)


def _read(descriptor: int, offset: int) -> bytes:
    try:
        return os.pread(descriptor, _CHUNK_BYTES, offset)
    except OSError as error:
        raise Unreadable(error.errno, error.strerror) from error


def digest_at(place: Place) -> str:
    """SHA-256 of the file at a place, as hexadecimal digits. Raises Unreadable."""
    descriptor = opened_to_read(place)
    try:
        return digest(descriptor)
    finally:
        os.close(descriptor)


def identity_with(place: Place, sha256: str | None) -> Identity | None:
    """Identity of the file at a place, read whole; None if it has other bytes, or is changing.

    sha256: None accepts any bytes. Raises Unreadable.
    """
    descriptor = opened_to_read(place)
    try:
        before = identity_of(os.fstat(descriptor))
        if sha256 is not None and digest(descriptor) != sha256:
            return None
        return before if identity_of(os.fstat(descriptor)) == before else None
    finally:
        os.close(descriptor)


def opened_to_read(place: Place) -> int:
    """Open the file at a place and return its descriptor. Raises Unreadable, for links, too."""
    folder, name = place
    try:
        return os.open(name, TO_READ, dir_fd=folder)
    except OSError as error:
        raise Unreadable(error.errno, error.strerror) from error


def read_whole(descriptor: int) -> bytes:
    """Return all bytes of a file, whatever the descriptor's offset. Raises OSError."""
    parts = []
    offset = 0
    while chunk := os.pread(descriptor, _CHUNK_BYTES, offset):
        parts.append(chunk)
        offset += len(chunk)
    return b"".join(parts)
