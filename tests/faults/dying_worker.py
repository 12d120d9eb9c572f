"""The product's worker, but a picture that says so ends it, holds it or makes it talk nonsense.

The mark stands behind the end of the picture, so without this module it is a picture like any
other. `start` makes a run use it; the product knows nothing of it.
"""

import hashlib
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from gdwatch.files.content import read_whole
from gdwatch.processes import worker
from tests.faults.crash_at import replace

_MARK = b"\ntests: "


def marked(picture: bytes, deed: str) -> bytes:
    """A picture that does a deed: the name of a signal, `hang`, `leave`, `nonsense …`.

    `unreadable` is a deed of the disk, which answers EIO.

    With `once ` before it, it does so once: the folder that the run works in remembers it.
    """
    return picture + _MARK + deed.encode()


def start() -> None:
    """In a run: have this module where the product starts its worker."""

    def wrapped(original: Any) -> Any:
        def child(module: str, *given: Any) -> Any:
            return original(__name__ if module == "gdwatch.processes.worker" else module, *given)

        return child

    replace("gdwatch.pipeline.worker_pool:Child", wrapped)


def sign(content: bytes) -> str:
    """The name of the empty file that says that a marked picture has been at work."""
    return f"deed-{hashlib.sha256(content).hexdigest()[:16]}"


def _do(deed: str, signed: Path, slot: int) -> None:
    if deed.startswith("once "):
        if signed.exists():
            return
        deed = deed.removeprefix("once ")
    signed.touch()  # a worker may write no byte, but an empty file is none
    if deed == "hang":
        while True:
            signal.pause()
    elif deed == "leave":
        sys.exit(0)
    elif deed.startswith("nonsense "):
        with socket.socket(fileno=os.dup(0)) as channel:
            channel.send(deed.removeprefix("nonsense ").replace("SLOT", str(slot)).encode())
    else:
        os.kill(os.getpid(), getattr(signal, deed))


def main() -> None:
    serve = worker.serve

    def served(descriptor: int, slots: Any, slot: int, *given: Any) -> Any:
        content = read_whole(descriptor)
        _, mark, deed = content.rpartition(_MARK)
        if mark == _MARK and deed == b"unreadable":
            descriptor = os.open("/proc/self/mem", os.O_RDONLY)  # nothing is at 0: EIO
        elif mark:
            _do(deed.decode(), Path(sign(content)), slot)
        return serve(descriptor, slots, slot, *given)

    worker.serve = served  # type: ignore[assignment]
    worker.main()


if __name__ == "__main__":
    main()
