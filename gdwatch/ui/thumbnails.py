"""Photographs for the browser: decoded again in a worker, shrunk, as WebP; the last ones are kept.

The browser never gets a file's own bytes here: those may be hostile, and hold where they were made.
"""

import asyncio
import io
import os
import stat
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from PIL import Image

from gdwatch.decode.reduce import Pixels, Reduction
from gdwatch.errors import GdwatchError
from gdwatch.files import content
from gdwatch.files.identity import identity_of
from gdwatch.jobs.contained import ContainedDecoder
from gdwatch.ledger.rows import Row
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import Drop, Opened, Refusal

Size = Literal["small", "large"]
SIDES: dict[Size, int] = {"small": 320, "large": 1280}  # pixels of the longer side, at most
KEPT_BYTES = 64 * 1024 * 1024
_MOST_WAITING = 200  # requests for one size
_QUALITY = 82
Key = tuple[int, int, int, Size]


class Cache:
    """The pictures asked for last, or why there is none; `most_bytes` of them at most."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Key, bytes | str] = OrderedDict()
        self._lock = threading.Lock()
        self.size_bytes = 0

    def get(self, key: Key) -> bytes | str | None:
        """Return what is kept, which becomes the newest; None if nothing is."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Key, made: bytes | str) -> None:
        """Keep it, and let go of the oldest."""
        with self._lock:
            self.size_bytes += _cost(made) - _cost(self._kept.pop(key, None))
            self._kept[key] = made
            while self.size_bytes > self._most_bytes:
                _, old = self._kept.popitem(last=False)
                self.size_bytes -= _cost(old)


def _cost(made: bytes | str | None) -> int:
    return 0 if made is None else len(made) + 200


class Thumbnails:
    """Makes pictures of files, each size in a worker of its own. Thread-safe."""

    def __init__(self, settings: Settings, folders: Folders) -> None:
        self._folders = folders
        self._cache = Cache(KEPT_BYTES)
        self._makers = {size: _Maker(settings, side) for size, side in SIDES.items()}

    async def picture(self, row: Row, size: Size) -> bytes:
        """Return a file's picture, as WebP. Raises GdwatchError if there is none to be had."""
        key = (row.id, row.modified_ns, row.size_bytes, size)
        made = self._cache.get(key)
        if made is None:
            maker = self._makers[size]
            if maker.waiting >= _MOST_WAITING:
                raise GdwatchError("too many pictures were asked for at once", "wait a moment")
            made = await maker.make(partial(open_file, row, self._folders))
            self._cache.put(key, made)
        if isinstance(made, str):
            raise GdwatchError(f"id {row.id}: {made}")
        return made

    def close(self) -> None:
        """End the workers."""
        for maker in self._makers.values():
            maker.close()


def open_file(row: Row, folders: Folders) -> Opened:
    """Open a row's file, wherever its move has got to. Raises GdwatchError."""
    with Handles(folders) as handles:
        for path in (row.path, row.source):
            if path is None:
                continue
            try:
                descriptor = content.opened_to_read(handles.parent(path))
            except (OSError, ValueError):
                continue
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                return Opened(Drop(path, identity_of(status), datetime.now(UTC)), descriptor)
            os.close(descriptor)
    raise GdwatchError(f"id {row.id}: its file has been taken away")


class _Maker:
    """One thread with one worker, for one size. side: the longer side of a picture, in pixels."""

    def __init__(self, settings: Settings, side: int) -> None:
        self._settings = settings
        self._side = side
        self._decoder: ContainedDecoder | None = None
        self._thread = ThreadPoolExecutor(1, f"thumbnails-{side}")
        self.waiting = 0

    async def make(self, open_: Callable[[], Opened]) -> bytes | str:
        """Return a picture as WebP, or why there is none. Raises GdwatchError."""
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._make, open_)
        finally:
            self.waiting -= 1

    def _make(self, open_: Callable[[], Opened]) -> bytes | str:
        opened = open_()
        try:
            if opened.drop.identity.size_bytes > self._settings.max_bytes:
                return "is larger than max_bytes"
            if self._decoder is None:
                layout = Reduction(self._side, whole=False)
                self._decoder = ContainedDecoder(self._settings, layout)
            decoded = self._decoder.decode(opened)
        except GdwatchError:
            self._end_decoder()
            raise
        finally:
            os.close(opened.descriptor)
        if isinstance(decoded, Refusal):
            return f"cannot be shown ({decoded.reason})"
        return _webp(decoded, self._side)

    def _end_decoder(self) -> None:
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.close()

    def close(self) -> None:
        """End the worker, when it is done with what it has."""
        self._thread.submit(self._end_decoder)
        self._thread.shutdown(cancel_futures=False)


def _webp(pixels: Pixels, side: int) -> bytes:
    """Encode an upright photograph. pixels: uint8 (H, W, 3), RGB."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side), Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=_QUALITY, method=1)
    return stream.getvalue()
