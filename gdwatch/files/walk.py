"""Recursive listing of the files below a folder."""

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A folder that cannot be listed. why: the message of the system error."""

    path: bytes
    why: str


def files_below(folder: bytes, ignored: tuple[str, ...]) -> Iterator[bytes | Unlisted]:
    """Yield the regular files below a folder, depth first, sorted by name; follows no links.

    A folder that cannot be listed is yielded as `Unlisted`, for the caller to report or skip.

    ignored: glob patterns; files and folders whose name matches one are left out.
    """
    ignored_name = any_of(ignored)
    levels = [_entries(folder, ignored_name)]  # no recursion: folders may be a thousand levels deep
    while levels:
        match next(levels[-1], None):
            case None:
                levels.pop()
            case path, True:
                levels.append(_entries(path, ignored_name))
            case path, False:
                yield path
            case Unlisted() as unlisted:
                yield unlisted


def any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return what matches a name that one of these glob patterns matches, in capitals or not."""
    either = "|".join(fnmatch.translate(pattern) for pattern in patterns)
    return re.compile(either or r"(?!)", re.IGNORECASE)


def _entries(folder: bytes, ignored: re.Pattern[str]) -> Iterator[tuple[bytes, bool] | Unlisted]:
    """Yield the entries of one folder, sorted by name: path, and whether it is a folder."""
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        yield Unlisted(folder, error.strerror or str(error))
        return
    for entry in entries:
        if ignored.match(os.fsdecode(entry.name)):
            continue
        path = folder.rstrip(b"/") + b"/" + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield path, True
        elif entry.is_file(follow_symlinks=False):
            yield path, False
