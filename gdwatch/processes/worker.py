"""A decode worker: descriptors in, pixels in slots out. Never imports torch.

Limited in memory, and allowed to write nothing: what a hostile picture breaks is only this process.
"""

import hashlib
import os
import resource
import sys
import time

from gdwatch.decode.decoder import decode
from gdwatch.decode.formats import Limits, Refused
from gdwatch.decode.reduce import Picture, Reduction, view
from gdwatch.files.content import read_whole
from gdwatch.processes import parent
from gdwatch.processes.messages import answer_of
from gdwatch.processes.slots import Slots
from gdwatch.values import Photo, Refusal

_CHUNK_BYTES = 1 << 20


def main() -> None:
    """Serve the parent until it goes."""
    channel, start, (memory,) = parent.connect()
    slots = Slots(start["slots"], Reduction(**start["layout"]), memory)
    limits = Limits(start["max_pixels"])
    # The slots are everybody's: they take address space here, but are no memory of the decoder's.
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
            # At once: were it to die of the next one, this one would be blamed.
            parent.send(channel, answer_of(slot, answer))


def _silence_decoders() -> None:
    """Keep what C libraries print of a picture out of the service's log; our own words stay."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def serve(descriptor: int, slots: Slots, slot: int, limits: Limits) -> Photo | Refusal:
    """Read a file once; hash and decode those bytes; leave the pixels in the slot."""
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
            content, limits, lambda photo: _lay_out(photo, slots, slot), slots.layout.least
        )
    except Refused as refused:
        return Refusal(
            refused.reason, refused.detail, sha256, refused.header, _milliseconds_since(began)
        )
    return Photo(sha256, header, size, _milliseconds_since(began))


def _lay_out(photo: Picture, slots: Slots, slot: int) -> tuple[int, int]:
    """Leave in the slot what the engine needs; returns width and height of what is there."""
    seen = view(photo, slots.layout)
    slots.put(slot, seen)
    return seen.shape[1], seen.shape[0]


def _milliseconds_since(began: float) -> float:
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
