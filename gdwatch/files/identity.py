"""A file's identity: distinguishes one state of the file from another, without reading it."""

import os

from gdwatch.values import Identity


def identity_of(status: os.stat_result) -> Identity:
    """Inode, size, modification and change time of a file, from its stat result."""
    return Identity(status.st_ino, status.st_size, modified_ns(status), status.st_ctime_ns)


def modified_ns(status: os.stat_result) -> int:
    """Modification time in nanoseconds since the epoch, clamped to 64 bits (years 1678 to 2262).

    A file system may store dates beyond the 64 bits of a database column.
    """
    return max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))
