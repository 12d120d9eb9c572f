"""The recursive listing of the inbox, read lazily, folder by folder through descriptors.

Entries that are not regular files stay, and are reported. Sub-folders of sub-folders are removed
when they have been empty for an hour, if photographs are moved out of the inbox.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Generator

from gdwatch.errors import Trouble
from gdwatch.files.durability import require_descriptors
from gdwatch.files.walk import any_of
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings

_DEPTH = 32
_EMPTY_FOLDER_WAIT_S = 3600.0

_KINDS: dict[int, str] = {
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "device",
    stat.S_IFCHR: "device",
}
_HINTS = {
    "symlink": "gdwatch opens no links: drop the photograph itself",
    "too_deep": f"gdwatch looks into {_DEPTH} levels of folders",
    "permission": "let the service read and write this folder",
    "unreadable": "look after the disk; it is tried again at each listing",
}


def remove_folder(parent: int, name: bytes) -> None:
    """Remove a sub-folder of the inbox if it is empty; the kernel refuses any other."""
    os.rmdir(name, dir_fd=parent)


class Listing:
    """Lists one inbox, as often as wanted.

    skipped: called with the path of each entry that has to stay, the reason in a word, and a hint.

    empty: how many folders below the inbox the last listing found empty.
    """

    def __init__(
        self, folders: Folders, settings: Settings, skipped: Callable[[bytes, str, str], None]
    ) -> None:
        self._folders = folders
        self._skipped = skipped
        self._ignored = any_of(settings.ignore)
        self._keeps_folders = settings.mode != "move"
        self._empty_folders: dict[bytes, tuple[int, float]] = {}
        self.empty = 0

    def ignores(self, path: bytes) -> bool:
        """Whether the file, or a folder above it in the inbox, matches the setting `ignore`."""
        below = path[len(self._folders.inbox) + 1 :]
        return any(self._ignored.match(os.fsdecode(step)) for step in below.split(b"/"))

    def files(self, now_s: float = 0.0) -> Generator[tuple[bytes, os.stat_result]]:
        """Yield the path and lstat result of every regular file below the inbox.

        now_s: monotonic; folders that have been empty for an hour by then are removed.

        Raises Trouble if the inbox cannot be listed, or too many files are open.
        """
        yield from (each for each in self.steps(now_s) if each is not None)

    def steps(self, now_s: float = 0.0) -> Generator[tuple[bytes, os.stat_result] | None]:
        """Yield the same, and None for each folder: who has other work to do may pause there."""
        with Handles(self._folders) as handles:
            root = _duplicate(handles.base(self._folders.inbox))
        self.empty = 0
        yield from self._list_folder(root, self._folders.inbox, 0, now_s)

    def skip(self, path: bytes, reason: str) -> None:
        """Report an entry that has to stay, with the hint for its reason."""
        self._skipped(path, reason, _HINTS.get(reason, ""))

    def _list_folder(
        self, handle: int, path: bytes, depth: int, now_s: float
    ) -> Generator[tuple[bytes, os.stat_result] | None]:
        """Yield the files below an open folder, and close it; first None, for the folder itself."""
        is_empty = depth > 0
        try:
            yield None
            with os.scandir(handle) as entries:
                for entry in entries:
                    is_empty = False
                    name = os.fsencode(entry.name)
                    if self._ignored.match(entry.name):
                        continue
                    try:
                        status = os.stat(name, dir_fd=handle, follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    except PermissionError:  # a folder that may be listed but not entered
                        self.skip(path + b"/" + name, "permission")
                        continue
                    except OSError:
                        self.skip(path + b"/" + name, "unreadable")
                        continue
                    yield from self._list_entry(handle, path + b"/" + name, status, depth, now_s)
            self.empty += is_empty
        except OSError as error:
            require_descriptors(error)
            if depth > 0:
                self.skip(path, "unreadable")
                return
            raise Trouble(
                "inbox_unreadable",
                f"inbox {os.fsdecode(path)}: {(error.strerror or '').lower()}",
                "look after its disk; work goes on by itself",
            ) from error
        finally:
            os.close(handle)

    def _list_entry(
        self, handle: int, path: bytes, status: os.stat_result, depth: int, now_s: float
    ) -> Generator[tuple[bytes, os.stat_result] | None]:
        if stat.S_ISREG(status.st_mode):
            yield path, status
        elif not stat.S_ISDIR(status.st_mode):
            self.skip(path, _KINDS.get(stat.S_IFMT(status.st_mode), "not_a_file"))
        elif depth + 1 > _DEPTH:
            self.skip(path, "too_deep")
        else:
            name = path.rpartition(b"/")[2]
            try:
                below = os.open(
                    name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle
                )
            except PermissionError:
                self.skip(path, "permission")
                return
            except OSError as error:
                require_descriptors(error)
                return  # replaced by something else since it was listed
            try:
                is_removable = depth >= 1 and not self._keeps_folders
                is_long_empty = is_removable and self._is_long_empty(path, below, status, now_s)
            except OSError as error:
                os.close(below)
                require_descriptors(error)
                self.skip(path, "unreadable")
                return
            if is_long_empty:
                os.close(below)
                with contextlib.suppress(OSError):
                    remove_folder(handle, name)
                return
            yield from self._list_folder(below, path, depth + 1, now_s)

    def _is_long_empty(
        self, path: bytes, handle: int, status: os.stat_result, now_s: float
    ) -> bool:
        with os.scandir(handle) as entries:
            if next(iter(entries), None) is not None:
                self._empty_folders.pop(path, None)
                return False
        changed, since_s = self._empty_folders.get(path, (-1, now_s))
        if changed != status.st_mtime_ns:
            self._empty_folders[path] = (status.st_mtime_ns, now_s)
            return False
        return now_s - since_s >= _EMPTY_FOLDER_WAIT_S


def _duplicate(handle: int) -> int:
    """dup(2) of a folder's descriptor. Raises Trouble if too many files are open."""
    try:
        return os.dup(handle)
    except OSError as error:
        require_descriptors(error)
        raise
