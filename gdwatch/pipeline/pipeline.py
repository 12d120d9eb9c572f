"""Photographs in, decisions out: the stages between the inbox and the ledger.

    offer ─▶ queued ─▶ workers (read, decode) ─▶ decoded ─▶ engine (judge) ─▶ decide ─▶ turn

Used alike by the service, `classify` and `reprocess`. One thread; nothing here waits for a child
except `turn`, and that no longer than it is told. What is on its way is bounded by the slots.
"""

import os
import resource
import time
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from selectors import EVENT_READ, DefaultSelector

import structlog

from gdwatch.decode.reduce import Reduction
from gdwatch.errors import ActionNeeded, GdwatchError, Trouble
from gdwatch.inference import model_file
from gdwatch.inference.model_file import ModelFile, layout
from gdwatch.pipeline import decide, engine, worker_pool
from gdwatch.pipeline.batching import next_batch
from gdwatch.pipeline.capacity import batch_size_of, engines_of, places_of, workers_of
from gdwatch.pipeline.decide import Rules
from gdwatch.pipeline.engine import Answered, Engine
from gdwatch.pipeline.task import Task
from gdwatch.pipeline.worker_pool import Worker, WorkerPool
from gdwatch.processes.messages import Died
from gdwatch.processes.slots import Slots
from gdwatch.settings import Settings
from gdwatch.values import Batch, Judged, Opened, Photo, Refusal, Serving

log = structlog.get_logger()

_ENGINE_DEATHS = 3  # in a row, before the service gives up and is started anew


class Pipeline:
    """Workers, slots and an engine, with the photographs on their way through them.

    model: the one that judges now.

    Raises ActionNeeded, here or in `turn`, if the model cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        _allow_many_open_files()
        self._settings = settings
        self._batch_size = batch_size_of(settings)
        self._queued: deque[Task] = deque()
        self._decoded: deque[Task] = deque()
        self._engine_deaths = 0
        self._plain = False  # whether an engine has died, see `Engine`
        self._served = False  # whether an engine has been ready before
        self._why_gone = ""
        self._next: Engine | None = None  # another model, on trial
        self._next_slots: Slots | None = None
        self._selector = DefaultSelector()
        self._start(model_file.read(model_file.find(settings.model)))

    @property
    def ready(self) -> bool:
        """Whether the model has passed its self-test."""
        return self.device is not None

    @property
    def device(self) -> str | None:
        """Where the model runs; None until it is ready."""
        return self._engine.device

    @property
    def is_judging(self) -> bool:
        """Whether the engine has anything to judge."""
        return self._engine.is_busy

    @property
    def outstanding(self) -> int:
        """How many photographs are on their way."""
        judged = len(self._engine.tasks())
        return len(self._queued) + self._workers.outstanding + len(self._decoded) + judged

    @property
    def room(self) -> int:
        """How many more may be offered now."""
        return max(0, self._slots.count - self.outstanding)  # another model may have fewer places

    def wake_by(self, descriptor: int) -> None:
        """Let `turn` end its wait when this descriptor becomes readable."""
        self._selector.register(descriptor, EVENT_READ)

    def offer(self, opened: Opened) -> None:
        """Take a photograph in; the next turn gives it to a worker.

        Its descriptor comes back, still open, with its decision.
        """
        task = Task(opened)
        size = opened.drop.identity.size_bytes
        if size > self._settings.max_bytes:
            detail = f"{size} bytes are more than max_bytes {self._settings.max_bytes}"
            self._workers.finish(task, Refusal("too_many_bytes", detail))
        else:
            self._queued.append(task)

    def turn(self, timeout_s: float) -> list[Batch]:
        """Move everything on by one step, waiting for news no longer than `timeout_s`.

        Raises ActionNeeded if the first model is refused, GdwatchError if the engine keeps dying
        of what it judges, Trouble while it does not start any more: its device has gone.
        """
        batches: list[Batch] = []
        self._feed_workers()
        for key, _ in self._selector.select(max(0.0, min(timeout_s, self._next_deadline()))):
            match key.data:
                case Worker() as worker:
                    self._workers.listen(worker)
                case Engine() as engine if engine is self._engine:
                    batches.extend(self._listen_to_engine())
                case Engine():
                    self._listen_to_next()
        if self._is_gone():  # another try is under way, and nothing is judged meanwhile
            raise self._gone()
        now = time.monotonic()
        self._workers.end_late(now)
        if now > self._engine.deadline:
            self._restart()
        if self._next is not None and now > self._next.deadline:
            log.error("model.refused", reason="its engine does not start")
            self._drop_next()
        self._feed_workers()
        batches.extend(self._feed_engine())
        self._swap_when_empty()
        return batches

    def reload(self) -> None:
        """Load the model file again; it takes over once it has passed its self-test.

        A bad one is reported, and the old one stays.
        """
        self._drop_next()
        try:
            file = model_file.read(model_file.find(self._settings.model))
        except ActionNeeded as error:
            log.error("model.refused", reason=error.message)
            return
        self._next_slots = Slots(1, self._layout(file))
        self._next = self._another(file, self._next_slots, 1)

    def close(self) -> None:
        """End every child. Photographs on their way are dropped, their descriptors closed."""
        for task in self._tasks():
            os.close(task.opened.descriptor)
        self._drop_next()
        self._end()
        self._selector.close()

    # ------------------------------------------------------------------ starting and ending

    def _start(self, file: ModelFile) -> None:
        workers, layout = workers_of(self._settings), self._layout(file)
        judged = engines_of(self._settings) * engine.DEPTH
        count = places_of(self._settings, layout)
        self._slots = Slots(count, layout)
        depth = min(worker_pool.DEPTH, max(2, (count - judged * self._batch_size) // workers))
        self._full = max(1, min(self._batch_size, (count - workers * depth) // judged))
        self._engine = self._another(file, self._slots, engines_of(self._settings))
        self.model = _serving(self._engine, self._settings)
        self._workers = WorkerPool(
            self._settings, self._slots, self._selector, self._queued, depth, self._decoded.append
        )
        self._workers.start(workers)

    def _end(self) -> None:
        self._engine.end()
        self._workers.end()
        self._slots.close()

    def _layout(self, file: ModelFile) -> Reduction:
        return layout(file.details, self._settings.crop)

    def _tasks(self) -> list[Task]:
        judged = self._engine.tasks()
        return [*self._queued, *self._workers.tasks(), *self._decoded, *judged]

    def _another(self, file: ModelFile, slots: Slots, count: int) -> Engine:
        return Engine(self._settings, file, slots, self._selector, count, plain=self._plain)

    def _next_deadline(self) -> float:
        """How long nothing falls due, in seconds."""
        now = time.monotonic()
        deadlines = [self._workers.next_deadline() - now, self._engine.deadline - now]
        if self._decoded and self._engine.has_room:
            deadlines.append(self._company_s() - (now - self._decoded[0].decoded_at))
        return min(deadlines)

    def _company_s(self) -> float:
        """How long a photograph may wait for company: while the engine is busy, for a full batch.

        Where one process judges it would wait for the batch before its own, too; and larger
        batches cost less of everything.
        """
        return float("inf") if self._engine.is_busy else self._settings.batch_wait_ms / 1000

    # ------------------------------------------------------------------ judging

    def _feed_workers(self) -> None:
        # Once another model is ready, the one in service only finishes what it has.
        if self._next is None or self._next.device is None:
            self._workers.feed()

    def _feed_engine(self) -> list[Batch]:
        """Give the engine what makes a batch; batches of refusals alone need none."""
        batches = []
        while self._engine.has_room:
            arrivals = [task.decoded_at for task in self._decoded]
            count = next_batch(arrivals, time.monotonic(), self._full, self._company_s())
            if not count:
                break
            tasks = [self._decoded.popleft() for _ in range(count)]
            if all(task.slot is None for task in tasks):
                batches.append(self._batch(tasks, None))
                continue
            try:
                self._engine.judge(tasks)
            except Died:
                self._restart()
        return batches

    def _listen_to_engine(self) -> list[Batch]:
        batches = []
        was_gone = self._is_gone()
        try:
            for answered in self._engine.listen():
                self._engine_deaths = 0
                if answered.splits:
                    log.warning("engine.oom", files=len(answered.asked.tasks))
                    log.warning("batch.split", times=answered.splits)
                batches.append(self._batch(answered.asked.tasks, answered))
        except ActionNeeded as refused:
            if not self._served:
                raise
            self._restart(refused.message)
        except Died:
            self._restart()
        if self.ready:
            self._served = True
            self._engine_deaths = 0 if was_gone else self._engine_deaths
        return batches

    def _batch(self, tasks: Sequence[Task], answered: Answered | None) -> Batch:
        """Decide for each task; `answered` is None where no network saw any of them."""
        scores = iter(answered.scores if answered else ())
        rules = _rules(self._engine, self._settings)
        judged = []
        for task in tasks:
            match task.decoded:
                case Photo() as photo:
                    decision = decide.decide(next(scores), photo.header, photo.size, rules)
                    judged.append(Judged(task.opened, photo, decision))
                case Refusal() as refusal:
                    judged.append(Judged(task.opened, refusal, decide.refuse(refusal)))
            self._workers.release(task)
        now = datetime.now(UTC)
        return Batch(
            tuple(judged),
            self.model,
            self.device if answered else None,
            answered.infer_ms if answered else 0.0,
            answered.asked.started_at if answered else now,
            now,
        )

    def _restart(self, why: str = "") -> None:
        """Start another engine with the same model, and queue what the dead one had again."""
        was_ready = self.ready
        tasks = self._engine.tasks()
        how = self._engine.end()
        self._decoded.extendleft(reversed(tasks))
        self._plain = True
        file, count = self._engine.file, engines_of(self._settings)
        self._engine = self._another(file, self._slots, count)
        self._engine_deaths += 1
        for task in tasks:
            task.engine_deaths += 1
        # What its other processes have answered meanwhile says nothing of what one dies of.
        poisonous = any(task.engine_deaths >= _ENGINE_DEATHS for task in tasks)
        if self._engine_deaths < _ENGINE_DEATHS and not poisonous:
            log.error("engine.restarted", status=how)
        elif self._served and not was_ready:
            self._why_gone = why or f"its engine ended ({how}) before it was ready"
            raise self._gone()
        else:
            deaths = _ENGINE_DEATHS if poisonous else self._engine_deaths
            raise GdwatchError(
                f"the engine on device {self._settings.device} ended {deaths} times in a row"
                + (" at the same photographs" if poisonous else "")
                + f" (last: {how})",
                "its own message stands above; `gdwatch doctor` tries the device",
            )

    def _is_gone(self) -> bool:
        """Whether the device that has served does not come back."""
        return self._served and not self.ready and self._engine_deaths >= _ENGINE_DEATHS

    def _gone(self) -> Trouble:
        return Trouble(
            "device_gone",
            f"device {self._settings.device}: {self._why_gone}",
            "look after the device (`gdwatch doctor` tries it); work goes on by itself",
        )

    # ------------------------------------------------------------------ another model

    def _listen_to_next(self) -> None:
        if self._next is None:
            return  # dropped in the same turn
        try:
            self._next.listen()
        except ActionNeeded as error:
            log.error("model.refused", reason=error.message)
            self._drop_next()
        except Died:
            log.error("model.refused", reason="its engine died")
            self._drop_next()

    def _drop_next(self) -> None:
        if self._next is not None and self._next_slots is not None:
            self._next.end()
            self._next_slots.close()
            self._next = self._next_slots = None

    def _swap_when_empty(self) -> None:
        """Let a model that has passed its trial take over, with workers and slots of its own."""
        if self._next is None or self._next.device is None:
            return
        if self.outstanding > len(self._queued):
            return
        file = self._next.file
        self._drop_next()
        self._end()
        self._start(file)
        log.info("service.reloaded", model=file.details.name, version=file.details.version)


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


def _allow_many_open_files() -> None:
    """Every photograph on its way is an open file, and the usual limit is for older programs."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _serving(engine: Engine, settings: Settings) -> Serving:
    details = engine.file.details
    return Serving(
        sha256=engine.file.sha256,
        name=details.name,
        version=details.version,
        details=details.model_dump(mode="json"),
        rules=str(_rules(engine, settings)),
    )


def _rules(engine: Engine, settings: Settings) -> Rules:
    return Rules(
        # Without a locator there is no face to crop: such a model always sees the whole picture.
        crop="whole" if engine.file.details.locator is None else settings.crop,
        several_faces=settings.several_faces,
        min_confidence=engine.min_confidence,
        min_face=settings.min_face,
        min_sharpness=settings.min_sharpness,
    )
