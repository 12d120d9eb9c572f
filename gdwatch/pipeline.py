"""Photographs in, decisions out: the stages between the inbox and the ledger, and their children.

    offer ─▶ queued ─▶ workers (read, decode) ─▶ decoded ─▶ engine (judge) ─▶ decide ─▶ turn

Used alike by the service, `classify` and `reprocess`. One thread; nothing here waits for a child
except `turn`, and that no longer than it is told. What is on its way is bounded by the slots.
"""

import os
import selectors
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from gdwatch import decide, model_file
from gdwatch.batch import next_batch
from gdwatch.children import Child, Died, Packet
from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.model_file import ModelFile
from gdwatch.settings import Settings
from gdwatch.slots import Slots
from gdwatch.values import Batch, Header, Judged, Opened, Photo, Refusal, Scores, Serving

log = structlog.get_logger()

_WORKER_DEPTH = 2  # one that it decodes, one at hand, so that it never waits for the parent
_ENGINE_DEPTH = 2  # one that it judges, one at hand
_ENGINE_TIMEOUT_S = 120.0
_ENGINE_DEATHS = 3  # in a row, before the service gives up and is started anew


@dataclass(eq=False, slots=True)
class _Task:
    """A photograph on its way. `deaths`: of workers that were decoding it."""

    opened: Opened
    deaths: int = 0
    slot: int | None = None
    decoded: Photo | Refusal | None = None
    decoded_at: float = 0.0


@dataclass(eq=False, slots=True)
class _Worker:
    child: Child
    tasks: deque[_Task] = field(default_factory=deque)
    deadline: float = float("inf")


@dataclass(eq=False, slots=True)
class _Engine:
    child: Child
    file: ModelFile
    device: str | None = None  # None until it is ready
    batches: deque[tuple[list[_Task], datetime]] = field(default_factory=deque)
    deadline: float = float("inf")


class Pipeline:
    """Workers, slots and the engine, with the photographs on their way through them.

    Raises ActionNeeded, here or in `turn`, if the model cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.batch_size = _batch_size(settings)
        self._queued: deque[_Task] = deque()
        self._decoded: deque[_Task] = deque()
        self._engine_deaths = 0
        self._next_file: ModelFile | None = None
        self._next_engine: _Engine | None = None
        self._selector = selectors.DefaultSelector()
        self._start_children(model_file.read(model_file.find(settings.model)))

    # ------------------------------------------------------------------ for the one who uses it

    @property
    def model(self) -> Serving:
        """The model that judges now."""
        return _serving(self._engine.file, self._settings)

    @property
    def ready(self) -> bool:
        """Whether the model has passed its self-test."""
        return self._engine.device is not None

    @property
    def device(self) -> str | None:
        """Where the model runs; None until it is ready."""
        return self._engine.device

    @property
    def outstanding(self) -> int:
        """How many photographs are on their way."""
        judging = sum(len(tasks) for tasks, _ in self._engine.batches)
        decoding = sum(len(worker.tasks) for worker in self._workers)
        return len(self._queued) + decoding + len(self._decoded) + judging

    @property
    def room(self) -> int:
        """How many more may be offered now."""
        return self._slots.count - self.outstanding

    def wake_by(self, descriptor: int) -> None:
        """Let `turn` end its wait when this descriptor becomes readable."""
        self._selector.register(descriptor, selectors.EVENT_READ, None)

    def offer(self, opened: Opened) -> None:
        """Take a photograph in; its descriptor comes back open with its decision."""
        task = _Task(opened)
        size = opened.drop.identity.size_bytes
        if size > self._settings.max_bytes:
            detail = f"{size} bytes are more than max_bytes {self._settings.max_bytes}"
            self._done(task, Refusal("too_many_bytes", detail))
        else:
            self._queued.append(task)
            self._feed_workers()

    def reload(self) -> None:
        """Load the model file again; it takes over once it has passed its self-test.

        A bad one is reported, and the old one stays.
        """
        try:
            file = model_file.read(model_file.find(self._settings.model))
        except ActionNeeded as error:
            log.error("model.refused", reason=error.message)
            return
        if self._next_engine is not None:
            self._drop_next_engine()
        self._next_engine = self._start_engine(file, Slots(1, file.details.classifier.input))

    def turn(self, timeout_s: float) -> list[Batch]:
        """Move everything on by one step, waiting for news no longer than `timeout_s`.

        Raises ActionNeeded if the first model is refused, GdwatchError if the engine keeps dying.
        """
        batches: list[Batch] = []
        for key, _ in self._selector.select(max(0.0, min(timeout_s, self._next_deadline()))):
            match key.data:
                case _Worker() as worker:
                    self._listen_to_worker(worker)
                case _Engine() as engine:
                    batches.extend(self._listen_to_engine(engine))
        self._enforce_deadlines()
        self._feed_workers()
        batches.extend(self._feed_engine())
        self._swap_when_empty()
        return batches

    def close(self) -> None:
        """End every child. Photographs on their way are dropped, their descriptors closed."""
        tasks = [*self._queued, *self._decoded]
        tasks += [task for worker in self._workers for task in worker.tasks]
        tasks += [task for batch, _ in self._engine.batches for task in batch]
        for task in tasks:
            os.close(task.opened.descriptor)
        if self._next_engine is not None:
            self._drop_next_engine()
        self._end_children()
        self._selector.close()

    # ------------------------------------------------------------------------- the children

    def _start_children(self, file: ModelFile) -> None:
        count = _workers(self._settings)
        size = self.batch_size * (_ENGINE_DEPTH + 1) + count * _WORKER_DEPTH
        self._slots = Slots(size, file.details.classifier.input)
        self._free = list(range(size))
        self._engine = self._start_engine(file, self._slots)
        self._workers = [self._start_worker() for _ in range(count)]

    def _end_children(self) -> None:
        for child in (self._engine.child, *(worker.child for worker in self._workers)):
            self._end(child)
        self._slots.close()

    def _end(self, child: Child) -> None:
        self._selector.unregister(child)
        child.end()

    def _start_worker(self) -> _Worker:
        start = {
            "slots": self._slots.count,
            "side": self._slots.side,
            "max_pixels": self._settings.max_pixels,
            "memory_mb": self._settings.worker_memory_mb,
        }
        worker = _Worker(Child("gdwatch.worker", start, [self._slots.descriptor]))
        self._selector.register(worker.child, selectors.EVENT_READ, worker)
        log.debug("worker.started", pid=worker.child.process.pid)
        return worker

    def _start_engine(self, file: ModelFile, slots: Slots) -> _Engine:
        start = {
            "slots": slots.count,
            "side": slots.side,
            "model": str(file.path),
            "device": self._settings.device,
            "min_confidence": _min_confidence(file, self._settings),
        }
        # The engine gets the bytes that were hashed here, not the file: rows name what judged.
        weights = os.memfd_create("gdwatch-model", os.MFD_CLOEXEC)
        with os.fdopen(weights, "wb") as copy:
            copy.write(file.content)
            copy.flush()
            os.lseek(weights, 0, os.SEEK_SET)
            engine = _Engine(Child("gdwatch.engine", start, [slots.descriptor, weights]), file)
        self._selector.register(engine.child, selectors.EVENT_READ, engine)
        return engine

    # ---------------------------------------------------------------------- decoding

    def _feed_workers(self) -> None:
        for worker in self._workers:
            while self._queued and self._free and self._next_engine_is_not_ready():
                # A file that has killed a worker is tried alone: its neighbours are spared.
                alone = self._queued[0].deaths > 0 or any(task.deaths for task in worker.tasks)
                if len(worker.tasks) >= (1 if alone else _WORKER_DEPTH):
                    break
                self._give(worker, self._queued.popleft())

    def _give(self, worker: _Worker, task: _Task) -> None:
        task.slot = self._free.pop()
        if not worker.tasks:
            worker.deadline = time.monotonic() + self._settings.decode_timeout_s
        worker.tasks.append(task)
        try:
            worker.child.send({"slot": task.slot}, [task.opened.descriptor])
        except Died:
            self._replace(worker, "decoder_crashed")

    def _listen_to_worker(self, worker: _Worker) -> None:
        try:
            while (packet := worker.child.receive()) is not None:
                task = worker.tasks.popleft()
                worker.deadline = (
                    time.monotonic() + self._settings.decode_timeout_s
                    if worker.tasks
                    else float("inf")
                )
                self._done(task, _decoded(packet))
        except Died:
            self._replace(worker, "decoder_crashed")

    def _replace(self, worker: _Worker, why: Any) -> None:
        """Start another worker for one that died or hung, and find the file that did it."""
        if worker not in self._workers:
            return
        event = "worker.timeout" if why == "decoder_timeout" else "worker.died"
        self._end(worker.child)
        log.warning(event, pid=worker.child.process.pid, status=worker.child.process.returncode)
        tasks = list(worker.tasks)
        for task in tasks:
            self._release(task)
        if tasks:
            tasks[0].deaths += 1
            if tasks[0].deaths >= 2:
                detail = "a worker process died of it twice, or took too long"
                self._done(tasks.pop(0), Refusal(why, detail))
        self._queued.extendleft(reversed(tasks))
        self._workers[self._workers.index(worker)] = self._start_worker()

    def _done(self, task: _Task, decoded: Photo | Refusal) -> None:
        task.decoded = decoded
        task.decoded_at = time.monotonic()
        if isinstance(decoded, Refusal):
            self._release(task)
        self._decoded.append(task)

    def _release(self, task: _Task) -> None:
        if task.slot is not None:
            self._free.append(task.slot)
            task.slot = None

    # ---------------------------------------------------------------------- judging

    def _feed_engine(self) -> list[Batch]:
        batches = []
        while self.ready and len(self._engine.batches) < _ENGINE_DEPTH:
            arrivals = [task.decoded_at for task in self._decoded]
            wait_s = self._settings.batch_wait_ms / 1000
            count = next_batch(arrivals, time.monotonic(), self.batch_size, wait_s)
            if not count:
                break
            tasks = [self._decoded.popleft() for _ in range(count)]
            slots = [task.slot for task in tasks if task.slot is not None]
            if slots:
                self._judge(tasks, slots)
            else:
                batches.append(self._batch(tasks, [], None, 0.0, datetime.now(UTC)))
        return batches

    def _judge(self, tasks: list[_Task], slots: list[int]) -> None:
        self._engine.batches.append((tasks, datetime.now(UTC)))
        if len(self._engine.batches) == 1:
            self._engine.deadline = time.monotonic() + _ENGINE_TIMEOUT_S
        try:
            self._engine.child.send({"slots": slots})
        except Died:
            self._restart_engine()

    def _listen_to_engine(self, engine: _Engine) -> list[Batch]:
        batches = []
        try:
            while (packet := engine.child.receive()) is not None:
                if "refused" in packet:
                    self._refused(engine, packet)
                    break
                if "ready" in packet:
                    engine.device = packet["device"]
                    log.info("model.loaded", model=engine.file.details.name,
                             version=engine.file.details.version, sha256=engine.file.sha256,
                             device=engine.device)  # fmt: skip
                else:
                    batches.append(self._judged(packet))
        except Died:
            if engine is self._engine:
                self._restart_engine()
            else:
                log.error("model.refused", reason="its engine died")
                self._drop_next_engine()
        return batches

    def _judged(self, packet: Packet) -> Batch:
        tasks, started_at = self._engine.batches.popleft()
        self._engine_deaths = 0
        self._engine.deadline = (
            time.monotonic() + _ENGINE_TIMEOUT_S if self._engine.batches else float("inf")
        )
        if packet["splits"]:
            log.warning("engine.oom", files=len(tasks))
            log.warning("batch.split", times=packet["splits"])
        return self._batch(
            tasks, packet["p_male"], self._engine.device, packet["infer_ms"], started_at
        )

    def _batch(
        self,
        tasks: list[_Task],
        p_male: list[float],
        device: str | None,
        infer_ms: float,
        started_at: datetime,
    ) -> Batch:
        probabilities = iter(p_male)
        min_confidence = _min_confidence(self._engine.file, self._settings)
        judged = []
        for task in tasks:
            match task.decoded:
                case Photo() as photo:
                    scores = Scores(next(probabilities))
                    decision = decide.decide(scores, min_confidence)
                    judged.append(Judged(task.opened, photo, decision))
                case Refusal() as refusal:
                    judged.append(Judged(task.opened, refusal, decide.refuse(refusal)))
            self._release(task)
        return Batch(tuple(judged), self.model, device, infer_ms, started_at, datetime.now(UTC))

    def _restart_engine(self) -> None:
        """Start another engine with the same model, and give it what the dead one had."""
        self._engine_deaths += 1
        self._end(self._engine.child)
        status = self._engine.child.process.returncode
        if self._engine_deaths >= _ENGINE_DEATHS:
            self._engine = self._start_engine(self._engine.file, self._slots)  # for `close`
            raise GdwatchError(
                f"the engine on device {self._settings.device} ended {_ENGINE_DEATHS} times "
                f"in a row, last with status {status}",
                "its own message stands above; `gdwatch doctor` tries the device",
            )
        log.error("engine.restarted", status=status)
        for tasks, _ in reversed(self._engine.batches):
            self._decoded.extendleft(reversed(tasks))
        self._engine = self._start_engine(self._engine.file, self._slots)

    # ---------------------------------------------------------------------- another model

    def _refused(self, engine: _Engine, packet: Packet) -> None:
        if engine is self._engine:
            raise ActionNeeded(packet["refused"], packet["hint"])
        log.error("model.refused", reason=packet["refused"])
        self._drop_next_engine()

    def _drop_next_engine(self) -> None:
        if self._next_engine is not None:
            self._end(self._next_engine.child)
            self._next_engine = None

    def _next_engine_is_not_ready(self) -> bool:
        return self._next_engine is None or self._next_engine.device is None

    def _swap_when_empty(self) -> None:
        """Once the new model is ready, workers get nothing more until the old one has finished."""
        if self._next_engine_is_not_ready() or self.outstanding > len(self._queued):
            return
        assert self._next_engine is not None
        file = self._next_engine.file
        self._drop_next_engine()
        self._end_children()
        self._start_children(file)
        log.info("service.reloaded", model=file.details.name, version=file.details.version)

    # ---------------------------------------------------------------------- deadlines

    def _next_deadline(self) -> float:
        now = time.monotonic()
        deadlines = [worker.deadline - now for worker in self._workers]
        deadlines.append(self._engine.deadline - now)
        if self._decoded and self.ready and len(self._engine.batches) < _ENGINE_DEPTH:
            waited = now - self._decoded[0].decoded_at
            deadlines.append(self._settings.batch_wait_ms / 1000 - waited)
        return min(deadlines)

    def _enforce_deadlines(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            if now > worker.deadline:
                self._replace(worker, "decoder_timeout")
        if now > self._engine.deadline:
            self._restart_engine()


def drain(pipeline: Pipeline, photographs: Iterator[Opened]) -> Iterator[Batch]:
    """Judge all of them, whatever their number, and yield batch after batch."""
    waiting = True
    while waiting or pipeline.outstanding:
        while waiting and pipeline.room:
            opened = next(photographs, None)
            if opened is None:
                waiting = False
            else:
                pipeline.offer(opened)
        yield from pipeline.turn(timeout_s=1.0)


def _decoded(packet: Packet) -> Photo | Refusal:
    """Read a worker's answer field by field: the worker may have been taken over by a picture."""
    if "Photo" in packet:
        photo = packet["Photo"]
        return Photo(photo["sha256"], Header(**photo["header"]), photo["decode_ms"])
    refusal = packet["Refusal"]
    header = Header(**refusal["header"]) if refusal["header"] else None
    return Refusal(
        refusal["reason"], refusal["detail"], refusal["sha256"], header, refusal["decode_ms"]
    )


def _min_confidence(file: ModelFile, settings: Settings) -> float:
    chosen = settings.min_confidence
    return file.details.min_confidence if chosen is None else chosen


def _serving(file: ModelFile, settings: Settings) -> Serving:
    # Without a locator there is no face to crop: such a model always sees the whole picture.
    crop = "whole" if file.details.locator is None else settings.crop
    return Serving(
        sha256=file.sha256,
        name=file.details.name,
        version=file.details.version,
        details=file.details.model_dump(mode="json"),
        rules=decide.rules(crop, settings.several_faces, _min_confidence(file, settings)),
    )


def _workers(settings: Settings) -> int:
    if settings.workers == "auto":
        return len(os.sched_getaffinity(0))
    return settings.workers


def _batch_size(settings: Settings) -> int:
    if settings.batch_size != "auto":
        return settings.batch_size
    # Only the engine can ask torch for a GPU; the driver's device file needs no torch.
    card = settings.device.startswith("cuda") or (
        settings.device == "auto" and os.path.exists("/dev/nvidia0")  # noqa: PTH110
    )
    return 128 if card else 32
