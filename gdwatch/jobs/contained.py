"""Decoding for a command that wants the pixels: in a worker, as in the service.

A picture that was decoded once without harm may do harm when it is decoded again: what is hostile
need not fail every time, and the file may have changed.
"""

import time
from collections import deque
from selectors import DefaultSelector

from gdwatch.decode.reduce import Pixels, Reduction
from gdwatch.pipeline.task import Task
from gdwatch.pipeline.worker_pool import WorkerPool
from gdwatch.processes.slots import Slots
from gdwatch.settings import Settings
from gdwatch.values import Opened, Photo, Refusal

_LOOK_S = 60.0


class ContainedDecoder:
    """One worker, with the limits and the second chance that it has in the service."""

    def __init__(self, settings: Settings, layout: Reduction) -> None:
        self._selector = DefaultSelector()
        self._slots = Slots(1, layout)
        self._queued: deque[Task] = deque()
        self._workers = WorkerPool(
            settings, self._slots, self._selector, self._queued, depth=1, done=lambda _: None
        )
        self._workers.start(1)

    def decode(self, opened: Opened) -> Pixels | Refusal:
        """Wait for the pixels of an upright photograph: uint8 (H, W, 3), RGB, as `layout` says.

        Raises GdwatchError if workers do not even start.
        """
        task = Task(opened)
        self._queued.append(task)
        while task.decoded is None:
            self._workers.feed()
            left_s = self._workers.next_deadline() - time.monotonic()
            for key, _ in self._selector.select(min(max(0.0, left_s), _LOOK_S)):
                self._workers.listen(key.data)
            self._workers.end_late(time.monotonic())
        match task.decoded:
            case Photo(size=size) if task.slot is not None:
                pixels = self._slots.photo(task.slot, size).copy()
                self._workers.release(task)
                return pixels
            case Refusal() as refusal:
                return refusal
        raise AssertionError(task)

    def close(self) -> None:
        """End the worker."""
        self._workers.end()
        self._slots.close()
        self._selector.close()
