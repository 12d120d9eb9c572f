"""Atomic replacement of a file: the new content goes to a temporary file, then rename(2)."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from gdwatch.files.durability import make_durable

PART = ".part"  # the suffix of temporary files; a kill may leave one behind


@contextlib.contextmanager
def replacing(path: Path, beside: str = "") -> Iterator[Path]:
    """Yield a temporary path to write to; on exit it is renamed to `path`.

    beside: a name of this writer's own, where several may write the same file at once.

    After an error the temporary file is removed and the old file stays. Without fsync(2), a power
    cut may lose the new file. Raises OSError.
    """
    temporary = path.with_name(path.name + beside + PART)
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def replacing_durably(path: Path, beside: str = "") -> Iterator[Path]:
    """Like `replacing`, with fsync(2) of file and folder. Raises OSError, and as `make_durable`."""
    with replacing(path, beside) as temporary:
        yield temporary
        _sync(temporary)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        make_durable(descriptor)
    finally:
        os.close(descriptor)
