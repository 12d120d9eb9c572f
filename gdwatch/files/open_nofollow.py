"""Opening a folder one path component at a time, so that no symbolic link is followed."""

import contextlib
import os

from gdwatch.files.durability import make_durable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PATH_ONLY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC  # may be unreadable


def open_folder(path: bytes, *, make: bool) -> int:
    """Open a folder by its absolute path and return the descriptor; refuses symbolic links.

    The configured paths were resolved at the start: a link met now was put there since.

    make: create a missing last component, followed by fsync(2) of its parent.

    Raises OSError, and as `make_durable`.
    """
    handle = os.open(b"/", PATH_ONLY)
    *above, name = path.split(b"/")[1:]
    try:
        for component in above:
            below = os.open(component, PATH_ONLY, dir_fd=handle)
            os.close(handle)
            handle = below
        try:
            return os.open(name or b".", DIRECTORY, dir_fd=handle)
        except FileNotFoundError:
            if not make:
                raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=handle)
        parent = os.open(b".", DIRECTORY, dir_fd=handle)
        try:
            make_durable(parent)
        finally:
            os.close(parent)
        return os.open(name, DIRECTORY, dir_fd=handle)
    finally:
        os.close(handle)
