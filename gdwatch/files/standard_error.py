"""Standard error that never fails: what cannot be written there is dropped, and counted.

A log whose disk is full, whose reader has gone or whose terminal has hung up must not end the work
that it tells of.
"""

import io
import os
import sys
from typing import Any


class _Dropping(io.FileIO):
    """The descriptor. dropped: how many writes have failed; of a log, each is a line."""

    dropped = 0

    def write(self, data: Any, /) -> int:
        written: int | None
        try:
            written = super().write(data)
        except OSError:
            written = None
        if written is None:  # or a pipe is full that does not wait
            type(self).dropped += 1
            return memoryview(data).nbytes
        return written


def keep() -> None:
    """Let standard error take everything from now on.

    A standard descriptor that is closed is taken by a file that nothing can be written to: else the
    next file to be opened would get its number, and what is printed.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)
            os.set_inheritable(descriptor, True)  # noqa: FBT003 (it has no name)
    buffer = io.BufferedWriter(_Dropping(2, "w", closefd=False))
    sys.stderr = io.TextIOWrapper(
        buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True
    )


def dropped() -> int:
    """Return how many lines were dropped so far."""
    return _Dropping.dropped
