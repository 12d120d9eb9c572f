"""Access to the configured folders through directory handles, one path component at a time.

A whole path would be followed through a symbolic link in its middle. Here each component is opened
without following links, so that nothing outside the folders is ever opened, moved or changed.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from types import TracebackType

from gdwatch.errors import Trouble
from gdwatch.files.durability import make_durable, require_descriptors
from gdwatch.files.open_nofollow import DIRECTORY, open_folder
from gdwatch.root.folders import NO_STEPS, Folders


class Handles:
    """Directory handles for one round of work. A context manager.

    What `parent` opens stays open, each folder once; of those that are only looked into, the last.

    Paths are absolute, bytes. What opens a folder raises OSError as the kernel gives it, Trouble if
    a configured folder is at fault, and ValueError for a path below none of them.
    """

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self._open: dict[bytes, int] = {}
        self._admitted: set[bytes] = set()
        self._bases: dict[bytes, bytes] = {}  # folder opened by `parent` → its configured folder
        self._touched: dict[int, None] = {}  # folders that gained a name, in order, each once
        self._left: dict[int, None] = {}  # folders that lost a name
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

    def admit(self, folder: bytes) -> None:
        """Let files be moved into a folder of a person's choice, and out of it: for `restore`.

        Whatever is wrong with it is raised as OSError: it concerns these files alone.
        """
        self._admitted.add(folder)

    def _split(self, path: bytes) -> tuple[bytes, list[bytes]]:
        """As `Folders.split`, for the admitted folders, too."""
        try:
            return self.folders.split(path)
        except ValueError:
            for base in self._admitted:
                steps = path[len(base) + 1 :].split(b"/")
                if path.startswith(base + b"/") and NO_STEPS.isdisjoint(steps):
                    return base, steps
            raise

    def base(self, path: bytes) -> int:
        """Return a configured folder's handle; a missing answer folder is made. Raises Trouble."""
        if path not in self._open and path in self._admitted and not self._is_configured(path):
            self._open[path] = open_folder(path, make=False)
        if path not in self._open:
            try:
                # If ROOT/.gdwatch is missing too, the disk is not mounted: nothing is made then.
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

    def _is_configured(self, folder: bytes) -> bool:
        return folder == self.folders.inbox or folder in self.folders.answers.values()

    def parent(self, path: bytes, *, make: bool = False) -> tuple[int, bytes]:
        """Return the handle of the folder that a path lies in, and the path's last component.

        make: make the folders on the way; the configured folder must be writable.
        """
        folder, _, name = path.rpartition(b"/")
        if folder in self._bases and name not in NO_STEPS:
            if make:
                self._require_writable(self._bases[folder])
            return self._open[folder], name
        base, steps = self._split(path)
        self.base(base)
        if make:
            self._require_writable(base)
        handle = self._open_below(base, steps[:-1], make=make)
        self._bases[folder] = base
        return handle, steps[-1]

    def _require_writable(self, base: bytes) -> None:
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=self._open[base], effective_ids=True):
            if base not in self.folders.answers.values():  # only `restore` moves files into others
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), base)
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
                        # Now, not in `sync`: before that, a link or a copy in the new folder may
                        # have become the only name of its file.
                        make_durable(handle)
                self._open[base] = os.open(step, DIRECTORY, dir_fd=handle)
            handle = self._open[base]
        return handle

    def lstat(self, path: bytes) -> os.stat_result | None:
        """Return the status of what lies at a path, links not followed; None if nothing does.

        However many folders are looked into, no more than one stays open for it.
        """
        try:
            handle, name = self._look_into(path)
            return os.stat(name, dir_fd=handle, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def leads_to(self, path: bytes, descriptor: int) -> bool:
        """Whether an open file still lies at a path; True where that cannot be looked at."""
        try:
            found = self.lstat(path)
        except OSError:
            return True
        return found is not None and os.path.samestat(found, os.fstat(descriptor))

    def path_in_inbox(self, descriptor: int) -> bytes | None:
        """Return where in the inbox an open file lies by now; None if it lies there no more."""
        path = os.readlink(b"/proc/self/fd/%d" % descriptor)
        if not path.startswith(self.folders.inbox + b"/"):
            return None
        with contextlib.suppress(OSError, ValueError):
            found = self.lstat(path)
            if found is not None and os.path.samestat(found, os.fstat(descriptor)):
                return path
        return None

    def _look_into(self, path: bytes) -> tuple[int, bytes]:
        """The folder that a path lies in, open until another one is looked into; its last step."""
        folder, _, name = path.rpartition(b"/")
        if folder in self._bases and name not in NO_STEPS:
            return self._open[folder], name
        base, steps = self._split(path)
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
        """Whether we may write to a sub-folder of an answer folder, or it does not exist yet."""
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
        except ValueError:  # below no configured folder: the settings have changed
            return False
        except PermissionError:  # invisible to us, which does not make it missing
            return True
        return found is not None and stat.S_ISREG(found.st_mode)

    def touched(self, handle: int) -> None:
        """Note that a name was added to this folder, for `sync`."""
        self._touched[handle] = None

    def left(self, handle: int) -> None:
        """Note that a name was removed from this folder, for `sync`."""
        self._left[handle] = None

    def touched_on_the_way(self, path: bytes) -> None:
        """Note each folder on the way to a path, as a crash may have kept it from being synced."""
        self.touched(self.parent(path)[0])
        base, steps = self._split(path)
        for step in steps[:-1]:
            self.touched(self._open[base])
            base += b"/" + step

    def sync(self) -> None:
        """Sync every folder that has changed: new names first, so that a file always has one.

        Raises as `make_durable`.
        """
        for handle in (*self._touched, *self._left):
            make_durable(handle)
        self._touched.clear()
        self._left.clear()
