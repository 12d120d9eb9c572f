"""Moving one file without losing or overwriting anything; `renaming` and `copying` do the steps.

A move is a rename that never overwrites; if the file system does not support that, a link and an
unlink; across file systems a copy that is verified and durable before the source is removed. With
the modes `copy` and `link` a file in the inbox stays there, and gets a copy or a second name.
"""

import contextlib
import errno
import os
import stat

from gdwatch.files.content import Place, digest_at
from gdwatch.files.identity import modified_ns
from gdwatch.filing.copying import file_copy, move_by_copy, remove_part
from gdwatch.filing.linking import file_link
from gdwatch.filing.renaming import Moved, rename_or_link
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.values import Entry


def stays(entry: Entry, folders: Folders) -> bool:
    """Whether the source stays where it is: it lies in the inbox, and the mode is not `move`."""
    return entry.mode != "move" and entry.source.startswith(folders.inbox + b"/")


def goes_back(entry: Entry, folders: Folders) -> bool:
    """Whether the move takes the file out of the answer folders: `restore` has asked for it."""
    if entry.restored_to is None or folders.outcome_of(entry.target) is not None:
        return False
    return entry.target.startswith(entry.restored_to + b"/")


def move(entry: Entry, handles: Handles, held: int | None) -> Moved:
    """Move a file from its source to its target; safe to repeat after a crash at any point.

    held: the descriptor through which this process judged the file; None if it did not: then the
        source is read again and its hash compared.

    Raises OSError as the kernel gives it, as `make_durable`, and Trouble for a folder at fault.
    """
    if held is None:
        remove_part(entry, handles)
    try:
        source, name = handles.parent(entry.source)
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return _moved_before(entry, handles)
    if not _is_as_recorded(found, (source, name), entry, held, handles):
        # It may have been moved before a crash, and another drop have taken its old name since.
        return Moved.DONE if _moved_before(entry, handles) is Moved.DONE else Moved.CHANGED
    try:
        target = handles.parent(entry.target, make=True)
    except NotADirectoryError:
        return Moved.TAKEN
    if stays(entry, handles.folders):
        file = file_copy if entry.mode == "copy" else file_link
        filed = file(entry, handles, (source, name), target, found)
        handles.touched(target[0])
        return filed
    try:
        moved = rename_or_link((source, name), target, found)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        moved = move_by_copy(entry, handles, (source, name), target, found)
    handles.touched(target[0])
    handles.left(source)
    return moved


def changed_since(entry: Entry, held: int) -> bool:
    """Whether the file was written to after it was read. held: its descriptor."""
    now = os.fstat(held)
    return (now.st_size, modified_ns(now)) != (entry.size_bytes, entry.modified_ns)


def _moved_before(entry: Entry, handles: Handles) -> Moved:
    """Return DONE if the target has the file, from a move before a crash; else GONE.

    The folders of such a move may not be synced yet, so `handles` is told to sync them.
    """
    if not has_content(entry.target, entry, handles):
        return Moved.GONE
    handles.touched_on_the_way(entry.target)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        handles.left(handles.parent(entry.source)[0])
    return Moved.DONE


def _is_as_recorded(
    found: os.stat_result, place: Place, entry: Entry, held: int | None, handles: Handles
) -> bool:
    if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size_bytes:
        return False
    # In the inbox another modification time means another drop. In an answer folder someone may
    # have touched the file: its content decides.
    is_drop = handles.folders.outcome_of(entry.source) is None
    if is_drop and modified_ns(found) != entry.modified_ns:
        return False
    if held is not None:
        return os.path.samestat(found, os.fstat(held))
    return entry.sha256 is None or digest_at(place) == entry.sha256


def has_content(path: bytes, entry: Entry, handles: Handles) -> bool:
    """Whether the bytes that were recorded lie at a path. Raises OSError."""
    found = handles.lstat(path)
    if found is None or not stat.S_ISREG(found.st_mode) or found.st_size != entry.size_bytes:
        return False
    if entry.sha256 is None:
        return modified_ns(found) == entry.modified_ns
    return digest_at(handles.parent(path)) == entry.sha256
