"""Where a file goes: its path in an answer folder, and alternatives if that path is taken."""

import itertools
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.values import Outcome

_NAME_BYTES = 255

FolderLayout = Literal["tree", "date"]


def target(
    folders: Folders,
    outcome: Outcome,
    original: bytes,
    layout: FolderLayout,
    decided_at: datetime,
) -> bytes:
    """Return a file's path in its answer folder, absolute, in bytes.

    With the layout `tree`: `male/wedding/IMG_1.jpg`; with `date`: `male/2026/11/23/IMG_1.jpg`.

    original: the absolute path where it was dropped. decided_at: UTC.

    Raises ValueError for an original below none of the configured folders.
    """
    _, steps = folders.split(original)
    if layout == "date":
        steps = [*decided_at.strftime("%Y/%m/%d").encode().split(b"/"), steps[-1]]
    return b"/".join((folders.answers[outcome], *steps))


def candidates(handles: Handles, wanted: bytes, file_id: int) -> Iterator[bytes]:
    """Yield paths for a file without end: the wanted one, then with its id: `IMG_1~48213.jpg`.

    If one of its folders is a file, or we may not write there, that folder becomes
    `wedding~48213` in every path.
    """
    base, steps = handles.folders.split(wanted)
    path = base
    for number, step in enumerate(steps[:-1]):
        path += b"/" + step
        if not handles.may_be_filed_in(path):
            steps[number] = with_id(step, file_id)
            break
    yield b"/".join((base, *steps))
    name = steps.pop()
    for attempt in itertools.count(1):  # the first is taken only if people use such names
        yield b"/".join((base, *steps, with_id(name, file_id, attempt)))


def with_id(name: bytes, file_id: int, attempt: int = 1) -> bytes:
    """Put an id before a name's suffix, within the 255 bytes that a name may have.

    attempt: counted from 1; from the second on it follows the id.
    """
    stem, dot, suffix = name.rpartition(b".")
    if not stem or len(suffix) > 16:
        stem, dot, suffix = name, b"", b""
    mark = b"~%d" % file_id if attempt == 1 else b"~%d-%d" % (file_id, attempt)
    end = mark + dot + suffix
    short = stem[: _NAME_BYTES - len(end)]
    while short and _is_text(stem) and not _is_text(short):
        short = short[:-1]  # never cut a UTF-8 character
    return short + end


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
