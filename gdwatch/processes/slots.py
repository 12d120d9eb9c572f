"""The shared memory in which decoded photographs wait: filled by workers, read by the engine."""

import mmap
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gdwatch.decode.reduce import Pixels, Reduction


class Slots:
    """Places for `count` photographs, in memory that no file name leads to.

    A name in /dev/shm would outlive a killed service; a descriptor does not. Memory is only taken
    where pixels are: a small photograph fills the beginning of its place. On a card all of it is
    taken at the start, since it is locked.

    size_bytes: of all of it.
    photos: uint8 (count, layout.longest² * 3), the pixels of each, row by row, RGB.
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
        """Fill a place. photo: uint8 (H, W, 3), no larger than the layout allows."""
        self.photos[slot, : photo.size] = photo.reshape(-1)

    def photo(self, slot: int, size: Sequence[int]) -> Pixels:
        """Look at what was put: uint8 (H, W, 3), not copied. size: width and height, pixels."""
        width, height = size
        return self.photos[slot, : width * height * 3].reshape(height, width, 3)

    def close(self) -> None:
        """Close the descriptor; the memory goes when the last process has let it go."""
        os.close(self.descriptor)
