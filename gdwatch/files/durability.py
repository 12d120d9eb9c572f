"""fsync(2) of files, before the ledger records them, and of folders, after renames."""

import errno
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from gdwatch.errors import GdwatchError, Trouble
from gdwatch.files import escaping

_THREADS = 8
_threads = ThreadPoolExecutor(max_workers=_THREADS)  # started at the first use, then kept


def require_descriptors(error: OSError) -> None:
    """Raise Trouble if `error` means that the process or the system has too many open files."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        hint = "raise LimitNOFILE, or `ulimit -n`"
        raise Trouble("open_files", "too many open files", hint) from error


def make_durable(descriptor: int) -> None:
    """fsync(2) a file or folder; does nothing where the file system does not support it.

    Raises Trouble if the disk is full, and GdwatchError for any other error: what is on the disk is
    then unknown, and only a restart checks everything again.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTSUP):  # the file system does not support it
            return
        what = escaping.escape(os.readlink(b"/proc/self/fd/%d" % descriptor))
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Trouble("disk_full", f"{what}: {error.strerror}", "make room") from error
        raise GdwatchError(
            f"{what}: could not be made durable ({error.strerror})",
            "look after the disk; the next start finishes what is recorded",
        ) from error


def sync_contents(descriptors: Sequence[int]) -> None:
    """fsync(2) dropped files, in parallel, before the ledger records their decisions.

    Raises as `make_durable`.
    """
    shares = [descriptors[start::_THREADS] for start in range(min(_THREADS, len(descriptors)))]
    for _ in _threads.map(_sync_each, shares):
        pass


def _sync_each(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        make_durable(descriptor)
