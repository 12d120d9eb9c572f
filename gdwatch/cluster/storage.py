"""Pictures in any storage that fsspec knows: a folder, S3 and its like.

What concerns one picture alone (it is gone, or not ours to read) is a refusal; what may pass (a
storage that is slow, or answers with an error) is tried again, then it is an error.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import fsspec
import ray
from fsspec.implementations.local import LocalFileSystem

from gdwatch.backoff import Delay
from gdwatch.cluster.connection import first_line
from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.files import escaping
from gdwatch.files.walk import any_of
from gdwatch.values import Refusal

_TRIES = 5
_BETWEEN = Delay(first_s=0.5, longest_s=8.0)
_SLICE_PICTURES = 64
_SLICE_BYTES = 64 << 20
# What does not get better by waiting.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


class StorageFailed(GdwatchError):  # noqa: N818 - a state that may pass, not a bug
    """A storage could not be read or written, although it was tried again."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder or file in a storage. path: as this storage names it, without its protocol."""

    files: fsspec.AbstractFileSystem
    path: str

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of the operating system."""
        return isinstance(self.files, LocalFileSystem)

    def below(self, name: str) -> "Place":
        """Return the place of this name below."""
        return Place(self.files, f"{self.path.rstrip('/')}/{name}")

    def __str__(self) -> str:
        """Return it as a person gives it: a path, or a URL."""
        return self.path if self.is_local else str(self.files.unstrip_protocol(self.path))


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to be read. path: absolute or a URL, escaped. size_bytes: None if not known."""

    path: str
    size_bytes: int | None


Slice = tuple[Picture, ...]


def place(url: str) -> Place:
    """Return the place that a path or a URL names. Raises ActionNeeded for an unknown storage."""
    try:
        files, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise ActionNeeded(
            f"{url}: {first_line(error)}", "install fsspec's package for this storage"
        ) from error
    return Place(files, path)


def pictures(url: str, ignored: tuple[str, ...]) -> Iterator[Picture]:
    """Yield the files below a folder, or the one file, depth first, sorted by name in each folder.

    ignored: glob patterns; files and folders whose name matches one are left out.
    Raises GdwatchError if it is not there, and StorageFailed.
    """
    start = place(url)
    try:
        found = tried_again(lambda: start.files.info(start.path), str(start))
    except _FINAL as error:
        raise GdwatchError(f"{start}: {_words(error)}", "name a file or a folder") from error
    if found["type"] != "directory":
        yield _picture(start, found)
        return
    ignored_name = any_of(ignored)
    folders = [start.path]
    while folders:
        folder = folders.pop()
        deeper = []
        for each in _entries(start, folder):
            name = each["name"].rstrip("/").rpartition("/")[2]
            if ignored_name.match(name) or each.get("islink"):
                continue
            if each["type"] == "directory":
                deeper.append(each["name"])
            elif each["type"] == "file":
                yield _picture(start, each)
        folders.extend(reversed(deeper))


def _entries(start: Place, folder: str) -> list[dict[str, Any]]:
    where = str(Place(start.files, folder))
    try:
        found = tried_again(lambda: start.files.ls(folder, detail=True), where)
    except _FINAL as error:
        if folder == start.path:
            raise GdwatchError(f"{where}: {_words(error)}") from error
        return [{"name": folder, "type": "file", "size": None}]  # reading it will say why
    # S3 lists an empty object for a folder that a browser made.
    return sorted(
        (each for each in found if each["name"].rstrip("/") != folder.rstrip("/")),
        key=lambda each: str(each["name"]),
    )


def _picture(start: Place, entry: dict[str, Any]) -> Picture:
    url = str(Place(start.files, entry["name"]))
    return Picture(escaping.escape(os.fsencode(url)), entry.get("size"))


def slices(pictures: Iterable[Picture]) -> Iterator[Slice]:
    """Yield the pictures in order, so many at a time as are read together."""
    taken: list[Picture] = []
    size_bytes = 0
    for each in pictures:
        if taken and (
            len(taken) == _SLICE_PICTURES or size_bytes + (each.size_bytes or 0) > _SLICE_BYTES
        ):
            yield tuple(taken)
            taken, size_bytes = [], 0
        taken.append(each)
        size_bytes += each.size_bytes or 0
    if taken:
        yield tuple(taken)


def configuration() -> dict[str, Any]:
    """Return what fsspec was configured with here: addresses and keys of storages."""
    return dict(fsspec.config.conf)


def configure(found: dict[str, Any]) -> None:
    """Configure fsspec in this process as in that of the driver."""
    fsspec.config.conf.update(found)


@ray.remote(num_cpus=0, max_retries=5)
def read_on_node(
    pictures: Sequence[Picture], max_bytes: int, configured: dict[str, Any]
) -> list[bytes | Refusal]:
    """Read as `read` does, in a process of its own. configured: see `configuration`."""
    configure(configured)
    return read(pictures, max_bytes)


def read(pictures: Sequence[Picture], max_bytes: int) -> list[bytes | Refusal]:
    """Return the bytes of each picture, or why it is refused.

    max_bytes: what is larger is not read. Raises StorageFailed.
    """
    refused: dict[int, Refusal] = {}
    places: dict[int, Place] = {}
    for number, each in enumerate(pictures):
        if each.size_bytes is not None and each.size_bytes > max_bytes:
            detail = f"{each.size_bytes} bytes are more than max_bytes {max_bytes}"
            refused[number] = Refusal("too_many_bytes", detail)
        else:
            places[number] = place(os.fsdecode(escaping.unescape(each.path)))
    contents: dict[int, bytes] = {}
    wait_s: float | None = None
    for left in reversed(range(_TRIES)):
        got = _got(places)
        contents |= {number: each for number, each in got.items() if isinstance(each, bytes)}
        refused |= {number: Refusal("unreadable", _words(each))
                    for number, each in got.items() if isinstance(each, _FINAL)}  # fmt: skip
        places = {number: each for number, each in places.items()
                  if number not in contents and number not in refused}  # fmt: skip
        if not places:
            break
        if not left:
            number, where = next(iter(places.items()))
            raise failed(str(where), got[number])
        wait_s = _BETWEEN.after(wait_s)
        time.sleep(wait_s)
    return [contents[number] if number in contents else refused[number]
            for number in range(len(pictures))]  # fmt: skip


def _got(places: dict[int, Place]) -> dict[int, Any]:
    """Read these, those of one storage at once, as far as it can."""
    got: dict[int, Any] = {}
    storages = {id(each.files): each.files for each in places.values()}
    for name, files in storages.items():
        own = {number: each.path for number, each in places.items() if id(each.files) == name}
        try:
            found = files.cat(list(own.values()), on_error="return")
        except Exception as error:  # whatever this storage raises
            got.update(dict.fromkeys(own, error))
        else:
            got.update({number: found[path] for number, path in own.items()})
    return got


def tried_again(do: Any, where: str) -> Any:
    """Do something with a storage, again after a while if that fails. Raises StorageFailed."""
    wait_s: float | None = None
    for left in reversed(range(_TRIES)):
        try:
            return do()
        except (*_FINAL, FileExistsError):
            raise
        except Exception as error:  # whatever this storage raises
            if not left:
                raise failed(where, error) from error
        wait_s = _BETWEEN.after(wait_s)
        time.sleep(wait_s)
    raise AssertionError(where)


def failed(where: str, error: Exception) -> StorageFailed:
    """Return the error for a storage that still fails."""
    return StorageFailed(
        f"{where}: {_words(error)}",
        "what was judged is kept: give the same command again when the storage answers",
    )


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or first_line(error)
    return str(text)[:200]
