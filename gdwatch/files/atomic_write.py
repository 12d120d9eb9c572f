"""Replacing a file whole or not at all: its new content is written beside it, then renamed."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from gdwatch.files.durability import make_durable

PART = ".part"  # ends the name of what is not finished; a kill may leave it behind


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name to write the new content to; on leaving, the file at `path` is replaced by it.

    After an error the old file stays, and nothing else. A power cut may take the new one away.
    """
    aside = path.with_name(path.name + PART)
    aside.unlink(missing_ok=True)
    try:
        yield aside
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def replacing_durably(path: Path) -> Iterator[Path]:
    """Do the same, so that the new file survives a power cut. Raises as `make_durable`."""
    with replacing(path) as aside:
        yield aside
        _sync(aside)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        make_durable(descriptor)
    finally:
        os.close(descriptor)
