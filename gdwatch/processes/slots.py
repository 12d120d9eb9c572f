"""The shared memory of decoded photographs: written by workers, read by the engine."""

import mmap
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gdwatch.decode.reduce import Pixels, Reduction


class Slots:
    """Shared memory with room for `count` photographs, reached by descriptor (memfd_create(2)).

    A file in /dev/shm would outlive a killed service; a memfd does not. Pages are allocated when
    written: a small photograph uses only the beginning of its slot. For a card all pages are
    allocated at the start, since they are locked.

    descriptor: the memfd of another process; None makes a new one.
    size_bytes: of all slots together.
    photos: uint8 (count, layout.most_bytes), the pixels of each, row by row, RGB.
    """

    def __init__(self, count: int, layout: Reduction, descriptor: int | None = None) -> None:
        size = count * layout.most_bytes
        if descriptor is None:
            descriptor = os.memfd_create("gdwatch-slots", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, size)
        self.descriptor = descriptor
        self.count = count
        self.size_bytes = size
        self.layout = layout
        pixels: NDArray[np.uint8] = np.frombuffer(mmap.mmap(descriptor, size), dtype=np.uint8)
        self.photos: Pixels = pixels.reshape(count, layout.most_bytes)

    def put(self, slot: int, photo: Pixels) -> None:
        """Copy a photograph into a slot. photo: uint8 (H, W, 3), at most layout.most_bytes."""
        self.photos[slot, : photo.size] = photo.reshape(-1)

    def photo(self, slot: int, size: Sequence[int]) -> Pixels:
        """The photograph in a slot: uint8 (H, W, 3), a view. size: width and height in pixels."""
        width, height = size
        return self.photos[slot, : width * height * 3].reshape(height, width, 3)

    def close(self) -> None:
        """Close the descriptor; the kernel frees the memory when no process maps it."""
        os.close(self.descriptor)
