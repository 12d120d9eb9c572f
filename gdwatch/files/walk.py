"""The files below a folder."""

import os
from collections.abc import Iterator
from fnmatch import fnmatch


def files_below(folder: bytes, ignored: tuple[str, ...]) -> Iterator[bytes]:
    """Regular files below a folder, sorted by name, in depth; links are not followed."""
    levels = [_entries(folder, ignored)]  # no recursion: folders may be a thousand levels deep
    while levels:
        match next(levels[-1], None):
            case None:
                levels.pop()
            case path, True:
                levels.append(_entries(path, ignored))
            case path, False:
                yield path


def _entries(folder: bytes, ignored: tuple[str, ...]) -> Iterator[tuple[bytes, bool]]:
    """What lies in one folder, sorted by name: paths, and whether each is a folder."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        yield folder, False  # its answer says why
        return
    for entry in entries:
        if any(fnmatch(os.fsdecode(entry.name), pattern) for pattern in ignored):
            continue
        path = folder.rstrip(b"/") + b"/" + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield path, True
        elif entry.is_file(follow_symlinks=False):
            yield path, False
