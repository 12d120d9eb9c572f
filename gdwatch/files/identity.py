"""What tells one state of a file from another, without reading it."""

import os

from gdwatch.values import Identity


def identity_of(status: os.stat_result) -> Identity:
    """What tells this state of a file from another."""
    return Identity(status.st_ino, status.st_size, modified_ns(status), status.st_ctime_ns)


def modified_ns(status: os.stat_result) -> int:
    """When a file was changed, as near as the 64 bits of a database come (the years 1678 to 2262).

    File systems reach further, and a file with such a date is a drop like any other.
    """
    return max(-(2**63), min(status.st_mtime_ns, 2**63 - 1))
