"""A decode worker: reads file descriptors, writes pixels into slots. Never imports torch.

Its memory is limited and it may write no file: a hostile picture can break only this process.
"""

import hashlib
import os
import resource
import sys
import time

from gdwatch.decode.decoder import decode
from gdwatch.decode.exif import origin_of
from gdwatch.decode.formats import Limits, Refused
from gdwatch.decode.reduce import Picture, Reduction, view
from gdwatch.files.content import read_whole
from gdwatch.processes import parent
from gdwatch.processes.messages import answer_of
from gdwatch.processes.slots import Slots
from gdwatch.values import Photo, Refusal

_CHUNK_BYTES = 1 << 20


def main() -> None:
    """Set the resource limits, then decode for the parent until it ends."""
    channel, start, (memory,) = parent.connect()
    slots = Slots(start["slots"], Reduction(**start["layout"]), memory)
    limits = Limits(start["max_pixels"])
    # RLIMIT_AS counts the shared slots, too; `worker_memory_mb` does not.
    space = start["memory_mb"] * 1024 * 1024 + slots.size_bytes
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _silence_decoders()
    parent.send(channel, {"ready": True})
    while True:
        packet, descriptors = parent.receive(channel)
        if packet is None:
            return
        for slot, descriptor in zip(packet["slots"], descriptors, strict=True):
            answer = serve(descriptor, slots, slot, limits)
            os.close(descriptor)
            # Sent at once: if the worker dies of the next file, this one must not be blamed.
            parent.send(channel, answer_of(slot, answer))


def _silence_decoders() -> None:
    """Keep the messages of C libraries out of the service's log; Python's own still reach it."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)


def serve(descriptor: int, slots: Slots, slot: int, limits: Limits) -> Photo | Refusal:
    """Read a file once, hash and decode those bytes, and write the pixels into the slot."""
    began = time.perf_counter()
    try:
        content = read_whole(descriptor)
    except OSError as error:
        return Refusal("unreadable", error.strerror or str(error))
    except MemoryError:
        return Refusal("unreadable", "more bytes than worker_memory_mb allows")
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        header, size = decode(
            content, limits, lambda photo: _put_view(photo, slots, slot), slots.layout.least
        )
    except Refused as refused:
        return Refusal(
            refused.reason, refused.detail, sha256, refused.header, _milliseconds_since(began)
        )
    return Photo(sha256, header, size, _milliseconds_since(began), origin_of(content))


def _put_view(photo: Picture, slots: Slots, slot: int) -> tuple[int, int]:
    """Write the engine's view of a picture into the slot; returns its width and height."""
    reduced = view(photo, slots.layout)
    slots.put(slot, reduced)
    return reduced.shape[1], reduced.shape[0]


def _milliseconds_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
