"""The stages between the inbox and the ledger: open files go in, decisions come out.

    offer ─▶ queued ─▶ workers (read, decode) ─▶ decoded ─▶ engine (judge) ─▶ decide ─▶ turn

Used by the service and by the commands that judge. One thread; only `turn` waits for a child, no
longer than its timeout. The number of slots bounds the number of files in the pipeline.

The module is long because each step that hands a file on must keep all three queues true to the
slots; what needs only one of them has a module of its own beside this.
"""

import os
import resource
import time
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime
from selectors import EVENT_READ, DefaultSelector

import structlog

from gdwatch.decode.reduce import Reduction
from gdwatch.errors import ActionNeeded
from gdwatch.inference import model_file
from gdwatch.inference.model_file import ModelFile, layout
from gdwatch.pipeline import decide
from gdwatch.pipeline.batching import next_batch
from gdwatch.pipeline.capacity import Capacity
from gdwatch.pipeline.engine_client import Answered, Engine
from gdwatch.pipeline.engine_deaths import EngineDeaths
from gdwatch.pipeline.model_swap import ModelSwap
from gdwatch.pipeline.task import Task
from gdwatch.pipeline.worker_pool import Worker, WorkerPool
from gdwatch.processes.messages import Died
from gdwatch.processes.slots import Slots
from gdwatch.settings import Settings
from gdwatch.values import Batch, Judged, Opened, Photo, Refusal, Serving

log = structlog.get_logger()


class Pipeline:
    """Workers, slots and an engine, with the files on their way through them.

    models: those that judge now; two are a cascade.
    capacity: the numbers of workers, slots and so on with them.
    engines_replaced: how many engines have died so far, and were replaced.

    Raises ActionNeeded, here or in `turn`, if the model cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        allow_many_open_files()
        self._settings = settings
        self._queued: deque[Task] = deque()
        self._decoded: deque[Task] = deque()
        self._deaths = EngineDeaths(settings.device)
        self._selector = DefaultSelector()
        self._swap = ModelSwap()
        self._replaced_before: Counter[str] = Counter()  # workers of the models before this one
        self.engines_replaced = 0
        self._start(model_file.read_models(settings.model, settings.crop))

    @property
    def ready(self) -> bool:
        """Whether the model has passed its self-test."""
        return self.device is not None

    @property
    def model(self) -> Serving:
        """The model that judges all photographs now; in a cascade the first."""
        return self.models[0]

    @property
    def device(self) -> str | None:
        """Where the model runs; None until it is ready."""
        return self._engine.device

    @property
    def is_judging(self) -> bool:
        """Whether the engine has a batch to judge."""
        return self._engine.is_busy

    @property
    def outstanding(self) -> int:
        """How many files are in the pipeline."""
        judged = len(self._engine.tasks())
        return len(self._queued) + self._workers.outstanding + len(self._decoded) + judged

    @property
    def room(self) -> int:
        """How many more files may be offered now."""
        return max(0, self._slots.count - self.outstanding)  # a new model may have fewer slots

    @property
    def workers_replaced(self) -> Counter[str]:
        """How many workers were replaced so far, by why: `died` or `timeout`."""
        return self._replaced_before + self._workers.replaced

    def wake_by(self, descriptor: int) -> None:
        """Let `turn` also end its wait when this descriptor becomes readable."""
        self._selector.register(descriptor, EVENT_READ)

    def offer(self, opened: Opened) -> None:
        """Queue a file; the next turn gives it to a worker.

        Its descriptor comes back with its decision, still open.
        """
        task = Task(opened)
        size = opened.drop.identity.size_bytes
        if size > self._settings.max_bytes:
            detail = f"{size} bytes are more than max_bytes {self._settings.max_bytes}"
            self._workers.finish(task, Refusal("too_many_bytes", detail))
        else:
            self._queued.append(task)

    def turn(self, timeout_s: float) -> list[Batch]:
        """Wait for children, at most `timeout_s`, move all files on, and return finished batches.

        Raises ActionNeeded if the first model is refused, GdwatchError if the engine keeps dying
        or workers do not start, Trouble while a device that has served is gone.
        """
        batches: list[Batch] = []
        self._feed_workers()
        for key, _ in self._selector.select(max(0.0, min(timeout_s, self._until_deadline_s()))):
            match key.data:
                case Worker() as worker:
                    self._workers.listen(worker)
                case Engine() as engine if engine is self._engine:
                    batches.extend(self._listen_to_engine())
                case Engine() as engine:
                    self._swap.listen(engine)
        # While the device is gone, another engine is starting, and nothing is judged.
        self._deaths.require_device(ready=self.ready)
        now = time.monotonic()
        self._workers.end_late(now)
        if now > self._engine.deadline:
            self._restart()
        self._swap.end_late(now)
        self._feed_workers()
        batches.extend(self._feed_engine())
        self._swap_when_empty()
        return batches

    def reload(self) -> None:
        """Load the model file again; the new model takes over once it has passed its self-test.

        A bad model is logged, and the old one stays.
        """
        self._swap.drop()
        try:
            files = model_file.read_models(self._settings.model, self._settings.crop)
        except ActionNeeded as error:
            log.error("model.refused", reason=error.message)
            return
        slots = Slots(1, self._reduction(files))
        self._swap.begin(self._start_engine(files, slots), slots)

    def close(self) -> None:
        """End every child. Files in the pipeline are dropped, and their descriptors closed."""
        for task in self._tasks():
            os.close(task.opened.descriptor)
        self._swap.drop()
        self._end()
        self._selector.close()

    # ------------------------------------------------------------------ starting and ending

    def _start(self, files: tuple[ModelFile, ...]) -> None:
        reduction = self._reduction(files)
        self.capacity = Capacity.of(self._settings, reduction)
        self._slots = Slots(self.capacity.slots, reduction)
        self._engine = self._start_engine(files, self._slots, self.capacity.engines)
        self.models = self._engine.serving
        self._workers = WorkerPool(
            self._settings,
            self._slots,
            self._selector,
            self._queued,
            self.capacity.worker_depth,
            self._decoded.append,
        )
        self._workers.start(self.capacity.workers)

    def _end(self) -> None:
        self._engine.end()
        self._workers.end()
        self._replaced_before = self.workers_replaced
        self._slots.close()

    def _reduction(self, files: tuple[ModelFile, ...]) -> Reduction:
        return layout([file.details for file in files], self._settings.crop)

    def _tasks(self) -> list[Task]:
        judged = self._engine.tasks()
        return [*self._queued, *self._workers.tasks(), *self._decoded, *judged]

    def _start_engine(self, files: tuple[ModelFile, ...], slots: Slots, count: int = 1) -> Engine:
        return Engine(
            self._settings, files, slots, self._selector, count, plain=self._deaths.happened
        )

    def _until_deadline_s(self) -> float:
        """Return the seconds until the next deadline."""
        now = time.monotonic()
        deadlines = [self._workers.next_deadline() - now, self._engine.deadline - now]
        if self._decoded and self._engine.has_room:
            deadlines.append(self._batch_wait_s() - (now - self._decoded[0].decoded_at))
        return min(deadlines)

    def _batch_wait_s(self) -> float:
        """Return how long a photograph may wait for its batch to fill: no limit with a busy engine.

        With one engine process it would wait for the batch before its own anyway, and larger
        batches cost less per photograph.
        """
        return float("inf") if self._engine.is_busy else self._settings.batch_wait_ms / 1000

    # ------------------------------------------------------------------ judging

    def _feed_workers(self) -> None:
        # Once a new model is ready, the pipeline only finishes what the old one has begun.
        if not self._swap.has_passed:
            self._workers.feed()

    def _feed_engine(self) -> list[Batch]:
        """Send due batches to the engine; return those of refusals alone, which need no engine."""
        batches = []
        while self._engine.has_room:
            arrivals = [task.decoded_at for task in self._decoded]
            now, size = time.monotonic(), self.capacity.batch_size
            count = next_batch(arrivals, now, size, self._batch_wait_s())
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
        was_ready = self.ready
        try:
            for answered in self._engine.listen():
                self._deaths.answered()
                if answered.splits:
                    log.warning("engine.oom", files=len(answered.asked.tasks))
                    log.warning("batch.split", times=answered.splits)
                batches.append(self._batch(answered.asked.tasks, answered))
        except ActionNeeded as refused:
            if not self._deaths.served:
                raise
            self._restart(refused.message)
        except Died:
            self._restart()
        if self.ready and not was_ready:
            self._deaths.became_ready()
        return batches

    def _batch(self, tasks: Sequence[Task], answered: Answered | None) -> Batch:
        """Decide for each task, and release its slot. answered: None if all are refusals."""
        scores = iter(answered.scores if answered else ())
        rules = self._engine.rules
        judged = []
        for task in tasks:
            match task.decoded:
                case Photo() as photo:
                    each = next(scores)
                    decision = decide.decide(each, photo.header, photo.size, rules[each.model])
                    model = self.models[each.model]
                    judged.append(Judged(task.opened, photo, decision, model, each))
                case Refusal() as refusal:
                    decision = decide.refuse(refusal)
                    judged.append(Judged(task.opened, refusal, decision, self.models[0]))
            self._workers.release(task)
        now = datetime.now(UTC)
        return Batch(
            tuple(judged),
            self.models[0],
            self.device if answered else None,
            answered.infer_ms if answered else 0.0,
            answered.asked.started_at if answered else now,
            now,
        )

    def _restart(self, why: str = "") -> None:
        """Start a new engine with the same model, and queue the tasks of the dead one again."""
        was_ready = self.ready
        tasks = self._engine.tasks()
        how = self._engine.end()
        self._decoded.extendleft(reversed(tasks))
        self._deaths.happened = True
        self.engines_replaced += 1
        self._engine = self._start_engine(self._engine.files, self._slots, self.capacity.engines)
        self._deaths.died(tasks, how, why, was_ready=was_ready)

    def _swap_when_empty(self) -> None:
        """Let a model that has passed its trial take over, with new workers and slots."""
        if self._swap.has_passed and self.outstanding == len(self._queued):
            files = self._swap.taken()
            self._end()
            self._start(files)
            log.info("service.reloaded", model=self.model.name, version=self.model.version)


def allow_many_open_files() -> None:
    """Raise the soft limit of open files to the hard one: each file in the pipeline is open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
