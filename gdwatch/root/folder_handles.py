"""The only way to what lies in the configured folders: step by step, on open handles.

A whole path would be followed through a link in its middle; each step here refuses links, so that
nothing outside these folders is ever opened, moved or changed.
"""

import contextlib
import os
import stat
from collections.abc import Sequence
from types import TracebackType

from gdwatch.errors import Trouble
from gdwatch.files.durability import make_durable, require_descriptors
from gdwatch.files.open_nofollow import DIRECTORY, open_folder
from gdwatch.root.folders import NO_STEPS, Folders


class Handles:
    """Open directory handles for one turn. A context manager.

    What `parent` opens stays open, each folder once; of those that are only looked into, the last.

    `parent` raises OSError as the kernel gives it; Trouble where a configured folder is at fault.
    """

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self._open: dict[bytes, int] = {}
        self._bases: dict[bytes, bytes] = {}  # of the folders that `parent` has opened
        self._touched: dict[int, None] = {}  # in order, each once
        self._left: dict[int, None] = {}
        self._looked_into: tuple[bytes, int] | None = None  # a folder below the configured ones

    def __enter__(self) -> "Handles":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for handle in self._open.values():
            os.close(handle)
        self._look_away()

    def base(self, path: bytes) -> int:
        """Open a configured folder; an answer folder that is gone is made again."""
        if path not in self._open:
            try:
                # Where the root's own folder is gone too, it is a disk that is not mounted: nothing
                # is made in its place.
                make = path != self.folders.inbox and self.folders.state.is_dir()
                self._open[path] = open_folder(path, make=make)
            except OSError as error:
                require_descriptors(error)
                name = "inbox" if path == self.folders.inbox else "answer folder"
                reason = "inbox_missing" if path == self.folders.inbox else "folder_missing"
                raise Trouble(
                    reason,
                    f"{name} {os.fsdecode(path)}: {(error.strerror or '').lower()}",
                    "put it back, or mount it",
                ) from error
        return self._open[path]

    def parent(self, path: bytes, *, make: bool = False) -> tuple[int, bytes]:
        """Open the folder that a path lies in; returns its handle and the path's last step."""
        folder, _, name = path.rpartition(b"/")
        if folder in self._bases and name not in NO_STEPS:
            if make:
                self._require_writable(self._bases[folder])
            return self._open[folder], name
        base, steps = self.folders.split(path)
        self.base(base)
        if make:
            self._require_writable(base)
        handle = self._open_below(base, steps[:-1], make=make)
        self._bases[folder] = base
        return handle, steps[-1]

    def _require_writable(self, base: bytes) -> None:
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=self._open[base], effective_ids=True):
            raise Trouble(
                "folder_readonly",
                f"answer folder {os.fsdecode(base)}: cannot be written",
                "make it writable for the service; it goes on by itself",
            )

    def _open_below(self, base: bytes, steps: Sequence[bytes], *, make: bool) -> int:
        handle = self._open[base]
        for step in steps:
            base = base + b"/" + step
            if base not in self._open:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(step, dir_fd=handle)
                        # Now, not with the others: a link or a copy in there may be the only
                        # name that its file has left before `sync`.
                        make_durable(handle)
                self._open[base] = os.open(step, DIRECTORY, dir_fd=handle)
            handle = self._open[base]
        return handle

    def lstat(self, path: bytes) -> os.stat_result | None:
        """What lies at a path, links not followed; None if nothing does.

        However many folders are looked into, no more than one stays open for it.
        """
        try:
            handle, name = self._look_into(path)
            return os.stat(name, dir_fd=handle, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _look_into(self, path: bytes) -> tuple[int, bytes]:
        """The folder that a path lies in, open until another one is looked into; its last step."""
        folder, _, name = path.rpartition(b"/")
        if folder in self._bases and name not in NO_STEPS:
            return self._open[folder], name
        base, steps = self.folders.split(path)
        if self._looked_into is not None and self._looked_into[0] == folder:
            return self._looked_into[1], name
        self._look_away()
        handle = self.base(base)
        try:
            for step in steps[:-1]:
                below = os.open(step, DIRECTORY, dir_fd=handle)
                self._look_away()
                self._looked_into, handle = (folder, below), below
        except OSError:
            self._look_away()
            raise
        return handle, name

    def _look_away(self) -> None:
        if self._looked_into is not None:
            os.close(self._looked_into[1])
            self._looked_into = None

    def may_be_filed_in(self, path: bytes) -> bool:
        """Whether a sub-folder of an answer folder is ours to use, or is not there yet."""
        try:
            found = self.lstat(path)
            if found is None:
                return True
            if not stat.S_ISDIR(found.st_mode):
                return False
            folder, name = self._look_into(path)
            return os.access(name, os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True)
        except PermissionError:
            return False

    def is_file(self, path: bytes) -> bool:
        """Whether a regular file lies at a path."""
        try:
            found = self.lstat(path)
        except ValueError:  # below none of today's folders: the settings have changed
            return False
        except PermissionError:  # not ours to see, so not ours to call missing
            return True
        return found is not None and stat.S_ISREG(found.st_mode)

    def touched(self, handle: int) -> None:
        """Remember that a name has come into this folder."""
        self._touched[handle] = None

    def left(self, handle: int) -> None:
        """Remember that a name has gone from this folder."""
        self._left[handle] = None

    def touched_on_the_way(self, path: bytes) -> None:
        """Remember that any folder on the way to a path may have been made just before a crash."""
        self.touched(self.parent(path)[0])
        base, steps = self.folders.split(path)
        for step in steps[:-1]:
            self.touched(self._open[base])
            base += b"/" + step

    def sync(self) -> None:
        """Make every changed name durable: new names first, so that a file never has none.

        Raises as `make_durable`.
        """
        for handle in (*self._touched, *self._left):
            make_durable(handle)
        self._touched.clear()
        self._left.clear()
