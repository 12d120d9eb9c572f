"""fsync(2): of bytes before a row speaks of them, and of names in folders."""

import errno
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from gdwatch.errors import GdwatchError, Trouble
from gdwatch.files import escaping

_THREADS = 8
_threads = ThreadPoolExecutor(max_workers=_THREADS)  # they start with the first files, and stay


def require_descriptors(error: OSError) -> None:
    """Raise Trouble if the process, or the system, has too many open files."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        hint = "raise LimitNOFILE, or `ulimit -n`"
        raise Trouble("open_files", "too many open files", hint) from error


def make_durable(descriptor: int) -> None:
    """fsync(2), as far as the file system knows it.

    Raises Trouble for a full disk, and GdwatchError for any other fault: after that nobody knows
    what is on the disk, and only a new start looks at everything again.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTSUP):  # not for this kind of file there
            return
        what = escaping.escape(os.readlink(b"/proc/self/fd/%d" % descriptor))
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Trouble("disk_full", f"{what}: {error.strerror}", "make room") from error
        raise GdwatchError(
            f"{what}: could not be made durable ({error.strerror})",
            "look after the disk; the next start finishes what is recorded",
        ) from error


def sync_contents(descriptors: Sequence[int]) -> None:
    """Make the bytes of dropped files durable before a row says that they were decided.

    Raises as `make_durable`.
    """
    shares = [descriptors[start::_THREADS] for start in range(min(_THREADS, len(descriptors)))]
    for _ in _threads.map(_sync_each, shares):
        pass


def _sync_each(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        make_durable(descriptor)
