"""The file that a command writes its answers to: all of them, or what was there before."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from gdwatch.errors import GdwatchError


@contextmanager
def replaced(path: Path) -> Iterator[TextIO]:
    """Write aside, and give it the file's name at the end; after an error, the old one is there.

    A device, a pipe, a link and the like are written where they are: `/dev/stdout`.

    Raises GdwatchError if it cannot be opened.
    """
    status = _status(path)
    if not _may_be_replaced(path, status):
        with _opened(path) as stream:
            yield stream
        return
    aside = path.with_name(f".gdwatch-answers-{os.getpid()}.part")  # by default no input
    try:
        with _opened(aside, path) as stream:
            if status is not None:
                aside.chmod(stat.S_IMODE(status.st_mode))
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _take_place(aside, path)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:  # opening it will say why, if that is more than that nothing is there
        return None


def _may_be_replaced(path: Path, status: os.stat_result | None) -> bool:
    """Whether it is all the same to others that the name becomes that of another file."""
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return False
    return status is None or (
        stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid()
    )


def _opened(path: Path, named: Path | None = None) -> TextIO:
    """Open for writing. named: what the error names, if not this path."""
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise GdwatchError(
            f"{named or path}: {error.strerror}", "name another file with -o"
        ) from error


def _take_place(aside: Path, path: Path) -> None:
    try:
        aside.replace(path)
    except OSError:  # a mount of its own, as one file in a container may be
        shutil.copyfile(aside, path)
        aside.unlink()
