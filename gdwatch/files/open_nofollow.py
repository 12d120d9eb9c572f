"""Opening a folder step by step, so that no link on the way is followed."""

import contextlib
import os

from gdwatch.files.durability import make_durable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PATH_ONLY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # may be searched, not read


def open_folder(path: bytes, *, make: bool) -> int:
    """Open a folder by its absolute path, every step of which refuses links.

    Links were resolved at the start: one that is met now has been put there since, and leads
    elsewhere.

    make: the last step, durably, if nothing is there.

    Raises OSError, and as `make_durable`.
    """
    handle = os.open(b"/", PATH_ONLY)
    *above, name = path.split(b"/")[1:]
    try:
        for step in above:
            below = os.open(step, PATH_ONLY, dir_fd=handle)
            os.close(handle)
            handle = below
        try:
            return os.open(name or b".", DIRECTORY, dir_fd=handle)
        except FileNotFoundError:
            if not make:
                raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=handle)
        holder = os.open(b".", DIRECTORY, dir_fd=handle)
        try:
            make_durable(holder)
        finally:
            os.close(holder)
        return os.open(name, DIRECTORY, dir_fd=handle)
    finally:
        os.close(handle)
