"""What other people do at a bad moment: called in the run's own process, by `launch.call`.

Kept free of all that is heavy: a run that imports torch here would only be late.
"""

import logging
import os
import select
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def write_rest(path: str, whole: str) -> None:
    """Write the second half of a file."""
    content, there = Path(whole).read_bytes(), Path(path)
    if there.exists():
        with there.open("ab") as file:
            file.write(content[there.stat().st_size :])


def set_clock_forward() -> None:
    """Set the wall clock forward by a year."""
    now = time.time
    time.time = lambda: now() + 31e6


def overwrite(path: str, source: str) -> None:
    """Drop another file under the same name."""
    Path(source).replace(path)


def rename(path: str, to: str) -> None:
    """Rename a file or a folder."""
    Path(path).rename(to)


def put_there(target: str) -> None:
    """Put a file of one's own where a file is to go."""
    Path(target).write_bytes(b"mine")


def copy_there(path: str, target: str) -> None:
    """Put a copy of a drop where it is to go."""
    Path(target).write_bytes(Path(path).read_bytes())


def remove(path: str) -> None:
    """Remove a file that is in use."""
    Path(path).unlink()


def put_fifo(path: str) -> None:
    """Put a FIFO where a file was a moment ago."""
    Path(path).unlink()
    os.mkfifo(path)


def swap(path: str, aside: str, far: str) -> None:
    """Take a folder away, and put a link to another one in its place."""
    Path(path).rename(aside)
    Path(path).symlink_to(far)


def mount(disk: str, path: str) -> None:
    """Show a folder in another place as well."""
    subprocess.run(["mount", "--bind", disk, path], check=True)


def unmount(path: str) -> None:
    """Take a disk away, whoever uses it."""
    subprocess.run(["umount", "-l", path], check=True)


_locks: list[sqlite3.Connection] = []


def lock_ledger(path: str) -> None:
    """Be another program that writes for a long time."""
    _locks.append(sqlite3.connect(path, isolation_level=None))
    _locks[0].execute("BEGIN IMMEDIATE")


def unlock_ledger() -> None:
    """Let the ledger go."""
    _locks.pop().close()


def wait_for_no_lock() -> None:
    """Make a run give a locked ledger up at once, and not after seconds."""
    replace("gdwatch.ledger.connection:_BUSY_TIMEOUT_S", lambda _: 0.05)


def lose_events() -> None:
    """Be a kernel that drops every event, and says no more than that."""
    overflow = logging.getLogger("watchdog.observers.inotify_c").warning

    def lose(*_: object) -> None:
        overflow("Inotify queue overflowed; filesystem events were lost")

    replace("gdwatch.intake.watcher:_Listener.on_any_event", lambda _: lose)


def end_first_emitter() -> None:
    """Let the thread that takes the inbox's events from the kernel end right after its start."""

    def wrapped(original: Callable[..., None]) -> Callable[..., None]:
        left = [1]

        def queue_events(*given: Any, **named: object) -> None:
            if given[0].watch.path.endswith("/inbox") and left and left.pop():
                raise SystemExit  # ends a thread without a word
            original(*given, **named)

        return queue_events

    replace("watchdog.observers.inotify:InotifyEmitter.queue_events", wrapped)


def jump(clock: str, by: str) -> None:
    """Set the clock, which says another time from now on."""
    Path(clock).write_text(by)


def sleep_by_select() -> None:
    """Sleep as libfaketime lets it: it takes time.sleep's monotonic moment for the wall clock's."""
    time.sleep = lambda seconds: select.select([], [], [], seconds)


def be_impatient() -> None:
    """Wait less for a locked ledger before that is trouble."""
    replace("gdwatch.ledger.connection:_BUSY_TIMEOUT_S", lambda seconds: seconds / 10)


def be_next(migrations: str) -> None:
    """Be the next version, which knows these migrations."""
    replace("gdwatch.ledger.migration:MIGRATIONS", lambda _: Path(migrations))


def spoil_writes() -> None:
    """Be a disk that keeps another byte than it was given, once."""

    def wrapped(original: Callable[[int, bytes], None]) -> Callable[[int, bytes], None]:
        left = [1]

        def write(descriptor: int, content: bytes) -> None:
            original(descriptor, b"?" + content[1:] if left and left.pop() else content)

        return write

    replace("gdwatch.filing.copying:_write_all", wrapped)
