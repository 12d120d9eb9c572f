"""What other people do at a bad moment: called in the run's own process, by `launch.call`.

Kept free of all that is heavy: a run that imports torch here would only be late.
"""

import os
from collections.abc import Callable
from pathlib import Path

from tests.faults.crash_at import replace


def write(path: str, how: str) -> None:
    """Write to a file, as one does who has held it open: `append`, `overwrite` or `truncate`."""
    with Path(path).open("r+b") as file:
        if how == "truncate":
            file.truncate(10)
        elif how == "append":
            file.seek(0, os.SEEK_END)
            file.write(b"more")
        else:
            file.seek(20)
            file.write(b"other")


def write_a_piece(path: str, whole: str) -> None:
    """Write the next fortieth into a file whose space was reserved with zeros."""
    content, there = Path(whole).read_bytes(), Path(path)
    if there.exists():
        piece = len(content) // 40 + 1
        written = there.read_bytes()
        done = next((n for n in range(len(content)) if written[n] != content[n]), 0)
        with there.open("r+b") as file:
            file.seek(done)
            file.write(content[done : done + piece])
        os.utime(there)


def overwrite(path: str, source: str) -> None:
    """Drop another file under the same name."""
    Path(source).replace(path)


def put_there(target: str) -> None:
    """Put a file of one's own where a file is to go."""
    Path(target).write_bytes(b"mine")


def copy_there(path: str, target: str) -> None:
    """Put a copy of a drop where it is to go."""
    Path(target).write_bytes(Path(path).read_bytes())


def spoil_writes() -> None:
    """Be a disk that keeps another byte than it was given, once."""

    def wrapped(original: Callable[[int, bytes], None]) -> Callable[[int, bytes], None]:
        left = [1]

        def write(descriptor: int, content: bytes) -> None:
            original(descriptor, b"?" + content[1:] if left and left.pop() else content)

        return write

    replace("gdwatch.filing:_write_all", wrapped)
