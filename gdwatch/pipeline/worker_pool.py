"""The decode workers: feeding them, and replacing those that die or hang.

A worker's death names its file exactly: it decodes one after the other, in order. Decoding is
deterministic, so a file is tried once more, alone, and rejected when a second worker dies of it.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from selectors import EVENT_READ, BaseSelector

import structlog

from gdwatch.errors import GdwatchError
from gdwatch.files import content
from gdwatch.pipeline.task import Task
from gdwatch.processes import messages
from gdwatch.processes.child import Child
from gdwatch.processes.messages import MOST_DESCRIPTORS, Died
from gdwatch.processes.slots import Slots
from gdwatch.settings import Settings
from gdwatch.values import Photo, Refusal, RejectedReason

log = structlog.get_logger()

_START_S = 60.0
_FAILED_STARTS = 5  # in a row, before it is the installation and not the chance of a moment
# Files at a worker, if places allow: enough while the service records a batch or two.
DEPTH = MOST_DESCRIPTORS
_NEVER = float("inf")


@dataclass(eq=False, slots=True)
class Worker:
    """One worker with the files that it was given.

    deadline: of its start, then of its first file, monotonic. ready: whether it has started;
    until then its death or delay says nothing of any file.
    """

    child: Child
    deadline: float
    tasks: deque[Task] = field(default_factory=deque)
    ready: bool = False


class WorkerPool:
    """All decode workers and the free slots.

    queued: the files that wait for a worker; what a dead worker had goes back to its front.
    depth: how many files a worker has at most, the one included that it decodes.
    done: called with each task that has been decoded or refused.
    """

    def __init__(
        self,
        settings: Settings,
        slots: Slots,
        selector: BaseSelector,
        queued: deque[Task],
        depth: int,
        done: Callable[[Task], None],
    ) -> None:
        self._settings = settings
        self._slots = slots
        self._selector = selector
        self._queued = queued
        self._depth = depth
        self._done = done
        self._free = list(range(slots.count))
        self._failed_starts = 0
        self.workers: list[Worker] = []

    def start(self, count: int) -> None:
        """Start the workers."""
        self.workers = [self._start_worker() for _ in range(count)]

    def tasks(self) -> list[Task]:
        """What is being decoded."""
        return [task for worker in self.workers for task in worker.tasks]

    @property
    def outstanding(self) -> int:
        """How many photographs workers have."""
        return sum(len(worker.tasks) for worker in self.workers)

    def next_deadline(self) -> float:
        """When the first worker is late, monotonic."""
        return min(worker.deadline for worker in self.workers)

    def feed(self) -> None:
        """Give queued files to the workers with the least to do, as far as slots are free.

        All that one worker gets goes in one packet, which costs more than the words in it.
        """
        given: dict[Worker, list[Task]] = {}
        while self._queued and self._free:
            worker = self._idlest(self._queued[0])
            if worker is None:
                break
            task = self._queued.popleft()
            task.slot = self._free.pop()
            worker.tasks.append(task)
            given.setdefault(worker, []).append(task)
        for worker, tasks in given.items():
            self._give(worker, tasks)

    def _idlest(self, task: Task) -> Worker | None:
        """The worker to give it to; None if it has to wait.

        A file that has killed a worker is tried alone: its neighbours are spared.
        """
        able = [each for each in self.workers if not each.tasks or self._may_have(each, task)]
        return min(able, key=lambda worker: len(worker.tasks), default=None)

    def _may_have(self, worker: Worker, task: Task) -> bool:
        """Whether a worker that has files may be given this one as well."""
        depth = self._depth if worker.ready else 2  # who knows when it begins
        return len(worker.tasks) < depth and not task.deaths and not worker.tasks[0].deaths

    def listen(self, worker: Worker) -> None:
        """Take a worker's answers, or notice its death.

        Raises GdwatchError if workers do not even start.
        """
        try:
            while (packet := worker.child.receive()) is not None:
                if "ready" in packet:
                    worker.ready = True
                    self._failed_starts = 0
                elif worker.tasks and packet.get("slot") == worker.tasks[0].slot:
                    decoded = messages.read_answer(packet, self._slots.layout.longest)
                    self.finish(worker.tasks.popleft(), decoded)
                else:
                    raise Died  # an answer to a question that was not asked
                worker.deadline = self._deadline() if worker.tasks else _NEVER
        except Died:
            self._replace(worker, "decoder_crashed")

    def end_late(self, now: float) -> None:
        """Replace the workers that have taken too long."""
        for worker in list(self.workers):
            if now > worker.deadline:
                self._replace(worker, "decoder_timeout")

    def finish(self, task: Task, decoded: Photo | Refusal) -> None:
        """Hand a task on; a refusal needs its slot no longer."""
        task.decoded = decoded
        task.decoded_at = time.monotonic()
        if isinstance(decoded, Refusal):
            self.release(task)
        self._done(task)

    def release(self, task: Task) -> None:
        """Give a task's slot back."""
        if task.slot is not None:
            self._free.append(task.slot)
            task.slot = None

    def end(self) -> None:
        """End every worker."""
        for worker in self.workers:
            self._end(worker)
        self.workers = []

    def _start_worker(self) -> Worker:
        start = {
            "slots": self._slots.count,
            "layout": asdict(self._slots.layout),
            "max_pixels": self._settings.max_pixels,
            "memory_mb": self._settings.worker_memory_mb,
        }
        child = Child("gdwatch.processes.worker", start, [self._slots.descriptor])
        worker = Worker(child, deadline=time.monotonic() + _START_S)
        self._selector.register(worker.child, EVENT_READ, worker)
        log.debug("worker.started", pid=worker.child.process.pid)
        return worker

    def _end(self, worker: Worker) -> None:
        self._selector.unregister(worker.child)
        worker.child.end()

    def _deadline(self) -> float:
        return time.monotonic() + self._settings.decode_timeout_s

    def _give(self, worker: Worker, tasks: list[Task]) -> None:
        """Send a worker the last of its tasks; one that is dead is replaced, and fed next time."""
        packet = {"slots": [task.slot for task in tasks]}
        try:
            worker.child.send(packet, [task.opened.descriptor for task in tasks])
        except Died:  # before it had these files, which are therefore not to blame
            for task in reversed(tasks):
                worker.tasks.pop()
                self.release(task)
                self._queued.appendleft(task)
            self.listen(worker)  # to what it has said until then; it is replaced in there
            return
        if worker.ready and len(worker.tasks) == len(tasks):
            worker.deadline = self._deadline()

    def _replace(self, worker: Worker, why: RejectedReason) -> None:
        if worker not in self.workers:
            return  # replaced already, in the same turn
        self._end(worker)
        event = "worker.timeout" if why == "decoder_timeout" else "worker.died"
        log.warning(event, pid=worker.child.process.pid, status=worker.child.process.returncode)
        tasks = list(worker.tasks)
        worker.tasks.clear()
        for task in tasks:
            self.release(task)
        if worker.ready and tasks:
            tasks[0].deaths += 1
            if tasks[0].deaths >= 2:
                self._reject(tasks.pop(0), why)
        self._queued.extendleft(reversed(tasks))
        if not worker.ready:
            self._count_failed_start(worker)
        self.workers[self.workers.index(worker)] = self._start_worker()

    def _count_failed_start(self, worker: Worker) -> None:
        self._failed_starts += 1
        if self._failed_starts >= _FAILED_STARTS:
            self.workers.remove(worker)  # it has ended: nothing is left of it to end
            raise GdwatchError(
                f"decode workers ended {_FAILED_STARTS} times in a row before they had started",
                "their own message stands above; install gdwatch anew, or raise worker_memory_mb",
            )

    def _reject(self, task: Task, why: RejectedReason) -> None:
        """Two workers have ended on it. Its hash is taken here: reading harms nobody."""
        try:
            sha256 = content.digest(task.opened.descriptor)
        except OSError as error:
            self.finish(task, Refusal("unreadable", error.strerror or str(error)))
            return
        detail = "a worker process died of it twice, or took too long"
        self.finish(task, Refusal(why, detail, sha256))
