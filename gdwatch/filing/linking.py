"""Filing by hard link: the photograph gets a second name, in its answer folder."""

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from gdwatch.errors import ActionNeeded
from gdwatch.files.content import Place, opened_to_read
from gdwatch.filing.renaming import Moved
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.values import Entry

_PROBE = ".gdwatch-probe-"
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def file_link(
    _entry: Entry, _handles: Handles, source: Place, target: Place, found: os.stat_result
) -> Moved:
    """Give a file a second name. found: the file's status.

    Returns DONE, TAKEN or CHANGED. Raises OSError, with EXDEV between two file systems.
    """
    original = opened_to_read(source)
    try:
        # By its descriptor: another drop may have taken the old name by now.
        if not os.path.samestat(found, os.fstat(original)):
            return Moved.CHANGED
        os.link(f"/proc/self/fd/{original}", target[1], dst_dir_fd=target[0], follow_symlinks=True)
    except FileExistsError:
        there = os.stat(target[1], dir_fd=target[0], follow_symlinks=False)
        return Moved.DONE if os.path.samestat(found, there) else Moved.TAKEN
    finally:
        os.close(original)
    return Moved.DONE


def require_links(folders: Folders) -> None:
    """Try whether files of the inbox can have a second name in each answer folder.

    Raises ActionNeeded if not.
    """
    for folder in folders.answers.values():
        inbox, answers = (Path(os.fsdecode(path)) for path in (folders.inbox, folder))
        if not _can_link(inbox, answers):
            raise ActionNeeded(
                f"mode link: {inbox} and {answers} lie on two file systems or mounts, or on one "
                "without hard links",
                "set `mode` to copy, or put both below one parent",
            )


def _can_link(inbox: Path, folder: Path) -> bool:
    if not (inbox.is_dir() and folder.is_dir()):
        return True  # what is missing has its own message
    try:
        descriptor, name = tempfile.mkstemp(prefix=_PROBE, dir=inbox)
    except OSError:  # an inbox that we may only read can be linked from all the same
        return inbox.stat().st_dev == folder.stat().st_dev
    probe = Path(name)
    os.close(descriptor)
    linked = folder / probe.name
    try:
        os.link(probe, linked)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise ActionNeeded(
                f"folder {folder}: {(error.strerror or str(error)).lower()}", "mend it"
            ) from error
        return False
    finally:
        for each in (linked, probe):
            with contextlib.suppress(FileNotFoundError):
                each.unlink()
    return True
