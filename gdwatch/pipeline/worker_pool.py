"""The pool of decode workers: feeding them, and replacing those that die or hang.

A worker decodes its files in order, so its death names the file exactly. That file is tried once
more, alone; decoding is deterministic, so it is rejected if a second worker dies with it.
"""

import time
from collections import Counter, deque
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
_FAILED_STARTS = 5  # in a row: then the installation is at fault, not chance
# Files at a worker, if there are slots: enough to decode while the service records a batch or two.
DEPTH = MOST_DESCRIPTORS
_NEVER = float("inf")


@dataclass(eq=False, slots=True)
class Worker:
    """One worker process with the files that it was given.

    deadline: of its start, then of its first file, in seconds on the monotonic clock.
    ready: whether it has started; before that no file is to blame for its death or delay.
    """

    child: Child
    deadline: float
    tasks: deque[Task] = field(default_factory=deque)
    ready: bool = False


class WorkerPool:
    """All decode workers, and the free slots.

    queued: tasks that wait for a worker; those of a dead worker go back to its front.
    depth: files at a worker at most, the one that it decodes included.
    done: called with each task that has been decoded or refused.
    replaced: how many workers were replaced so far, by why: `died` or `timeout`.
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
        self.replaced = Counter(died=0, timeout=0)

    def start(self, count: int) -> None:
        """Start `count` workers."""
        self.workers = [self._start_worker() for _ in range(count)]

    def tasks(self) -> list[Task]:
        """Return the tasks of all workers."""
        return [task for worker in self.workers for task in worker.tasks]

    @property
    def outstanding(self) -> int:
        """How many files the workers have."""
        return sum(len(worker.tasks) for worker in self.workers)

    def next_deadline(self) -> float:
        """The earliest deadline of the workers, in seconds on the monotonic clock."""
        return min(worker.deadline for worker in self.workers)

    def feed(self) -> None:
        """Give queued files to the least busy workers, as long as there are free slots.

        Each worker gets its files in one packet: a packet costs more than what it contains.
        """
        given: dict[Worker, list[Task]] = {}
        while self._queued and self._free:
            worker = self._least_busy(self._queued[0])
            if worker is None:
                break
            task = self._queued.popleft()
            task.slot = self._free.pop()
            worker.tasks.append(task)
            given.setdefault(worker, []).append(task)
        for worker, tasks in given.items():
            self._give(worker, tasks)

    def _least_busy(self, task: Task) -> Worker | None:
        """Return the worker to give a file to; None if the file has to wait.

        A file that has killed a worker is tried alone, so that it takes no other file with it.
        """
        candidates = [each for each in self.workers if not each.tasks or self._may_have(each, task)]
        return min(candidates, key=lambda worker: len(worker.tasks), default=None)

    def _may_have(self, worker: Worker, task: Task) -> bool:
        """Whether a worker that has files may be given this one as well."""
        depth = self._depth if worker.ready else 2  # it may be slow to start
        return len(worker.tasks) < depth and not task.deaths and not worker.tasks[0].deaths

    def listen(self, worker: Worker) -> None:
        """Take a worker's answers; replace it if it has died.

        Raises GdwatchError if workers keep dying before they have started.
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
                    raise Died  # not the answer that is due: the worker may be compromised
                worker.deadline = self._deadline() if worker.tasks else _NEVER
        except Died:
            self._replace(worker, "decoder_crashed")

    def end_late(self, now: float) -> None:
        """Replace the workers that are past their deadline. now: seconds, monotonic."""
        for worker in list(self.workers):
            if now > worker.deadline:
                self._replace(worker, "decoder_timeout")

    def finish(self, task: Task, decoded: Photo | Refusal) -> None:
        """Hand a decoded task to `done`; a refusal gives its slot back."""
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
        """Send a worker its newest tasks; if it is dead, queue them again and replace it."""
        packet = {"slots": [task.slot for task in tasks]}
        try:
            worker.child.send(packet, [task.opened.descriptor for task in tasks])
        except Died:  # it died before it had these files, so they are not to blame
            for task in reversed(tasks):
                worker.tasks.pop()
                self.release(task)
                self._queued.appendleft(task)
            self.listen(worker)  # takes its last answers, and replaces it
            return
        if worker.ready and len(worker.tasks) == len(tasks):
            worker.deadline = self._deadline()

    def _replace(self, worker: Worker, why: RejectedReason) -> None:
        if worker not in self.workers:
            return  # replaced already, in the same turn
        self._end(worker)
        self.replaced["timeout" if why == "decoder_timeout" else "died"] += 1
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
            self.workers.remove(worker)  # it has ended already
            raise GdwatchError(
                f"decode workers ended {_FAILED_STARTS} times in a row before they had started",
                "their own message stands above; install gdwatch anew, or raise worker_memory_mb",
            )

    def _reject(self, task: Task, why: RejectedReason) -> None:
        """Refuse a file with which two workers have ended; only reading it for its hash is safe."""
        try:
            sha256 = content.digest(task.opened.descriptor)
        except OSError as error:
            self.finish(task, Refusal("unreadable", error.strerror or str(error)))
            return
        detail = "a worker process died of it twice, or took too long"
        self.finish(task, Refusal(why, detail, sha256))
