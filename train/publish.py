"""Files that are there whole or not at all, whatever ends the program while it writes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gdwatch.errors import GdwatchError


@contextmanager
def publish(path: Path) -> Iterator[Path]:
    """Give a path to write to; it becomes `path` when the block ends, durably.

    Raises GdwatchError if it cannot be written; what stood at `path` before is intact then.
    """
    aside = path.with_name(path.name + ".part")
    try:
        yield aside
        with aside.open("rb+") as stream:
            os.fsync(stream.fileno())
        aside.replace(path)
    except (OSError, RuntimeError) as error:  # RuntimeError is what torch makes of a full disk
        aside.unlink(missing_ok=True)
        reason = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise GdwatchError(
            f"{path}: could not be written ({reason})",
            "make room and give the same command again; what was there before is intact",
        ) from error
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
