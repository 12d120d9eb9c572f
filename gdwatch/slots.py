"""The shared memory in which decoded photographs wait: filled by workers, read by the engine."""

import mmap
import os

import numpy as np
from numpy.typing import NDArray


class Slots:
    """`count` squares of pixels, in memory that no file name leads to.

    A name in /dev/shm would outlive a killed service; a descriptor does not.

    pixels: uint8 (count, side, side, 3), RGB.
    """

    def __init__(self, count: int, side: int, descriptor: int | None = None) -> None:
        size = count * side * side * 3
        if descriptor is None:
            descriptor = os.memfd_create("gdwatch-slots", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, size)
        self.descriptor = descriptor
        self.count = count
        self.side = side
        self.pixels: NDArray[np.uint8] = np.frombuffer(
            mmap.mmap(descriptor, size), dtype=np.uint8
        ).reshape(count, side, side, 3)

    def close(self) -> None:
        """Close the descriptor; the memory goes when the last process has let it go."""
        os.close(self.descriptor)
