"""The walk through the files below a folder."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A folder that cannot be listed, and why, in the system's words."""

    path: bytes
    why: str


def files_below(folder: bytes, ignored: tuple[str, ...]) -> Iterator[bytes | Unlisted]:
    """Regular files below a folder, sorted by name, in depth; links are not followed.

    A folder that cannot be listed comes in its place, for the caller to name or to pass over.

    ignored: patterns of names; what has such a name is passed over, folders with all in them.
    """
    levels = [_entries(folder, ignored)]  # no recursion: folders may be a thousand levels deep
    while levels:
        match next(levels[-1], None):
            case None:
                levels.pop()
            case path, True:
                levels.append(_entries(path, ignored))
            case path, False:
                yield path
            case Unlisted() as unlisted:
                yield unlisted


def _entries(folder: bytes, ignored: tuple[str, ...]) -> Iterator[tuple[bytes, bool] | Unlisted]:
    """What lies in one folder, sorted by name: paths, and whether each is a folder."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        yield Unlisted(folder, error.strerror or str(error))
        return
    for entry in entries:
        if any(fnmatch(os.fsdecode(entry.name), pattern) for pattern in ignored):
            continue
        path = folder.rstrip(b"/") + b"/" + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield path, True
        elif entry.is_file(follow_symlinks=False):
            yield path, False
