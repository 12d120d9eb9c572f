"""The file that a command writes its answers to: all of them, or what was there before."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from gdwatch.errors import GdwatchError
from gdwatch.files.atomic_write import replacing
from gdwatch.files.mounts import mount_of


@contextmanager
def replaced(path: Path) -> Iterator[TextIO]:
    """Write aside, and give it the file's name at the end; after an error, the old one is there.

    A device, a pipe, a link and the like are written where they are: `/dev/stdout`.

    Raises GdwatchError if it cannot be opened.
    """
    try:
        status = path.lstat()
    except OSError:  # to open it will say why, if it is more than that nothing is there
        status = None
    if not _may_be_replaced(path, status):
        with _opened(path, path) as stream:
            yield stream
        return
    with replacing(path) as aside, _opened(aside, path) as stream:
        if status is not None:
            aside.chmod(stat.S_IMODE(status.st_mode))
        yield stream


def _may_be_replaced(path: Path, status: os.stat_result | None) -> bool:
    """Whether nobody minds that the name becomes that of another file."""
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return False
    return status is None or (
        stat.S_ISREG(status.st_mode)
        and status.st_nlink == 1
        and status.st_uid == os.geteuid()
        and _mount_at(path) == _mount_at(path.parent)  # else it is a mount of its own
    )


def _mount_at(path: Path) -> int:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        return mount_of(descriptor)
    finally:
        os.close(descriptor)


def _opened(path: Path, named: Path) -> TextIO:
    """Open for writing. named: what the error names."""
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise GdwatchError(f"{named}: {error.strerror}", "name another file with -o") from error
