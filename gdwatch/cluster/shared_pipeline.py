"""One pipeline for callers in several threads, which bring bytes and wait for their answers.

The pipeline itself belongs to one thread, which alone turns it. While one caller waits for its last
pictures, those of the next one are being decoded.
"""

import os
import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from gdwatch.errors import GdwatchError, Trouble
from gdwatch.files.identity import identity_of
from gdwatch.pipeline.drain import close_files
from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.settings import Settings
from gdwatch.values import Batch, Decision, Drop, Opened, Photo, Refusal, Serving

_LOOK_S = 1.0
_TROUBLE_S = 60.0


@dataclass(frozen=True, slots=True)
class JudgedBytes:
    """The answer for the bytes of one file.

    model: which of the models in use has answered, from 0. device: where they ran; None for a
    refusal. infer_ms: its share of the wall time that its batch took in the engine.
    """

    decoded: Photo | Refusal
    decision: Decision
    model: int
    device: str | None
    infer_ms: float


@dataclass(frozen=True, slots=True)
class _Wanted:
    content: bytes
    answer: "Future[JudgedBytes]"


class SharedPipeline:
    """A pipeline in a thread of its own.

    models: those that judge. Raises ActionNeeded if the model cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wanted: queue.SimpleQueue[_Wanted] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._ended = threading.Event()
        self._ready: Future[tuple[Serving, ...]] = Future()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="gdwatch-pipeline", daemon=True)
        self._thread.start()
        self.models = self._ready.result()

    def judge(self, contents: Sequence[bytes]) -> list[JudgedBytes]:
        """Judge the bytes of files, and return the answers in their order.

        Raises GdwatchError if the pipeline has ended with one, for this caller or another.
        """
        if self._failed is not None:
            raise self._failed
        wanted = [_Wanted(content, Future()) for content in contents]
        for each in wanted:
            self._wanted.put(each)
        os.eventfd_write(self._wake, 1)
        if self._failed is not None:  # it ended meanwhile, and may not have seen these
            self._refuse()
        return [each.answer.result() for each in wanted]

    def close(self) -> None:
        """End the thread and every child; who still waits gets an error."""
        self._ended.set()
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        os.close(self._wake)

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        inside: dict[int, _Wanted] = {}  # by descriptor
        try:
            with closing(Pipeline(self._settings)) as pipeline:
                pipeline.wake_by(self._wake)
                self._turn_until(pipeline, inside)
            self._failed = GdwatchError("the pipeline has been closed")
        except BaseException as error:
            self._failed = error
            if not self._ready.done():
                self._ready.set_exception(error)
        for each in inside.values():
            each.answer.set_exception(self._failed)
        self._refuse()

    def _turn_until(self, pipeline: Pipeline, inside: dict[int, _Wanted]) -> None:
        waiting: deque[_Wanted] = deque()
        troubled_s = 0.0
        while not self._ended.is_set():
            self._take_in(waiting)
            while waiting and pipeline.room:
                each = waiting.popleft()
                opened = _in_memory(each.content)
                inside[opened.descriptor] = each
                pipeline.offer(opened)
            try:
                batches = pipeline.turn(_LOOK_S)
            except Trouble:  # a device that is gone may come back
                troubled_s += _LOOK_S
                if troubled_s > _TROUBLE_S:
                    raise
                continue
            if pipeline.ready and not self._ready.done():
                self._ready.set_result(pipeline.models)
            for batch in batches:
                for number, answer in _answers(batch, pipeline.models):
                    inside.pop(number).answer.set_result(answer)
            close_files(batches)

    def _take_in(self, waiting: deque[_Wanted]) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while not self._wanted.empty():
            waiting.append(self._wanted.get())

    def _refuse(self) -> None:
        while not self._wanted.empty():
            self._wanted.get().answer.set_exception(self._failed)


def _answers(batch: Batch, models: tuple[Serving, ...]) -> Iterator[tuple[int, JudgedBytes]]:
    """Yield the answers of a batch with the descriptors that they belong to."""
    photographs = sum(isinstance(each.decoded, Photo) for each in batch.judged)
    for each in batch.judged:
        is_photo = isinstance(each.decoded, Photo)
        yield (
            each.opened.descriptor,
            JudgedBytes(
                each.decoded,
                each.decision,
                models.index(each.model),
                batch.device if is_photo else None,
                batch.infer_ms / photographs if is_photo else 0.0,
            ),
        )


def _in_memory(content: bytes) -> Opened:
    """An open file in memory with this content."""
    descriptor = os.memfd_create("gdwatch-picture", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(content)
    identity = identity_of(os.fstat(descriptor))
    return Opened(Drop(b"", identity, datetime.now(UTC)), descriptor)
