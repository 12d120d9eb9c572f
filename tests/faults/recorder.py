"""Writes down, in the run's own process, every step that changes files or makes them durable.

One JSON object a line; paths are text as `os.fsdecode` gives it.

    sync         inode                           a file's bytes
    sync_folder  path                            the names in a folder
    move         source, target, inode           a rename
    link         source, target, inode           a second name
    copy         source, target, inode, synced   a verified copy gets its name; inode is a number
                                                 below -1, the same as in its sync
    unlink       path
    mkdir        path
    commit       durable, image, rows            rows: id, state, source, target, sha256

`image` names a copy of the database as it is after the commit.
"""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gdwatch.files import content, escaping
from tests.faults.crash_at import replace


class _Recorder:
    def __init__(self, trace: Path, root: bytes) -> None:
        self._file = trace.open("a", buffering=1)
        self._images = trace.with_suffix(".images")
        self._images.mkdir(exist_ok=True)
        self._root = root
        self._source = ""  # of the move under way
        self._synced: set[int] = set()
        self._copies: dict[int, int] = {}  # an inode may have been a removed source's before
        self._count = 1

    def write(self, op: str, **what: Any) -> None:
        self._file.write(json.dumps({"op": op, **what}) + "\n")

    def fsync(self, original: Callable[[int], None]) -> Callable[[int], None]:
        def fsync(descriptor: int) -> None:
            original(descriptor)
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                self.write("sync_folder", path=_folder(descriptor))
            else:
                inode = self._copy(status.st_ino) if status.st_nlink == 0 else status.st_ino
                self._synced.add(inode)
                self.write("sync", inode=inode)

        return fsync

    def rename(self, original: Callable[..., None]) -> Callable[..., None]:
        def rename(source: content.Place, target: content.Place) -> None:
            inode = os.stat(source[1], dir_fd=source[0], follow_symlinks=False).st_ino
            original(source, target)
            self.write("move", source=_path(source), target=_path(target), inode=inode)

        return rename

    def move(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def move(entry: Any, *others: Any) -> Any:
            self._source = os.fsdecode(entry.source)
            return original(entry, *others)

        return move

    def link(self, original: Callable[..., None]) -> Callable[..., None]:
        def link(source: Any, target: bytes, **how: Any) -> None:
            original(source, target, **how)
            place = _path((how["dst_dir_fd"], target))
            inode = os.stat(target, dir_fd=how["dst_dir_fd"], follow_symlinks=False).st_ino
            if isinstance(source, bytes):
                self.write("link", source=self._source, target=place, inode=inode)
            else:
                copy = self._copies.pop(inode, 0) or self._copy(inode)
                self.write("copy", source=self._source, target=place, inode=copy,
                           synced=copy in self._synced)  # fmt: skip

        return link

    def _copy(self, inode: int) -> int:
        """A number below -1 for a file that has no name yet."""
        self._count += 1
        return self._copies.setdefault(inode, -self._count)

    def unlink(self, original: Callable[..., None]) -> Callable[..., None]:
        def unlink(name: bytes, *, dir_fd: int) -> None:
            original(name, dir_fd=dir_fd)
            self.write("unlink", path=_path((dir_fd, name)))

        return unlink

    def mkdir(self, original: Callable[..., None]) -> Callable[..., None]:
        def mkdir(name: bytes, *mode: int, dir_fd: int | None = None) -> None:
            original(name, *mode, dir_fd=dir_fd)
            path = os.fsdecode(name) if dir_fd is None else _path((dir_fd, name))
            self.write("mkdir", path=path)

        return mkdir

    def commit(self, original: Callable[..., None]) -> Callable[..., None]:
        def commit(dialect: Any, connection: Any) -> None:
            original(dialect, connection)
            driver = connection.driver_connection
            tables = driver.execute("SELECT count(*) FROM sqlite_master WHERE name = 'files'")
            if tables.fetchone()[0]:
                self._committed(driver)

        return commit

    def _committed(self, driver: Any) -> None:
        image = driver.serialize()
        path = self._images / f"{len(list(self._images.iterdir()))}.db"
        path.write_bytes(image)
        rows = [
            {
                "id": row[0],
                "state": row[1],
                "source": self._absolute(row[2]),
                "target": self._absolute(row[3]),
                "sha256": row[4],
            }
            for row in driver.execute("SELECT id, state, source_path, path, sha256 FROM files")
        ]
        durable = driver.execute("PRAGMA synchronous").fetchone()[0] >= 2
        self.write("commit", durable=durable, image=str(path), rows=rows)

    def _absolute(self, text: str | None) -> str | None:
        return None if text is None else os.fsdecode(escaping.absolute_path(text, self._root))


def start(trace: str, root: str) -> None:
    """Record this process from here on."""
    recorder = _Recorder(Path(trace), os.fsencode(root))
    replace("gdwatch.files.durability:os.fsync", recorder.fsync)
    replace("gdwatch.filing.renaming:_rename", recorder.rename)
    replace("gdwatch.filing.move:move", recorder.move)
    for where in ("gdwatch.filing.renaming", "gdwatch.filing.copying"):
        replace(f"{where}:os.link", recorder.link)
        replace(f"{where}:os.unlink", recorder.unlink)
    for where in ("gdwatch.root.folder_handles", "gdwatch.files.open_nofollow"):
        replace(f"{where}:os.mkdir", recorder.mkdir)
    replace("sqlalchemy.engine.default:DefaultDialect.do_commit", recorder.commit)


def _path(place: content.Place) -> str:
    return f"{_folder(place[0])}/{os.fsdecode(place[1])}"


def _folder(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")
