"""The service's end of the engine: one model, in one process or several that share its memory."""

import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from selectors import EVENT_READ, BaseSelector

from gdwatch.errors import ActionNeeded
from gdwatch.inference.model_file import Details, ModelFile
from gdwatch.pipeline.decide import Rules
from gdwatch.pipeline.task import Task
from gdwatch.processes.child import Channel, Child
from gdwatch.processes.messages import Died, Packet, unpacked
from gdwatch.processes.slots import Slots
from gdwatch.settings import Settings
from gdwatch.values import Photo, Scores, Serving

DEPTH = 2  # batches at one process: one that it judges, one that waits
_TIMEOUT_S = 120.0
_NEVER = float("inf")
_START_S = 300.0  # a card may be slow to start; a driver that hangs never starts


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch that the engine has been asked to judge."""

    tasks: Sequence[Task]
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Answered:
    """A batch that the engine has judged.

    scores: of each decoded photograph, in order; boxes in pixels of the picture in its slot.
    infer_ms: wall time in the engine. splits: how often the batch was split for lack of memory.
    """

    asked: Asked
    scores: Sequence[Scores]
    infer_ms: float
    splits: int


class _Lane:
    """One engine process, and the batches that it has not answered.

    deadline: of the batch that it judges, in seconds on the monotonic clock.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.batches: deque[Asked] = deque()
        self.deadline = _NEVER
        self._scores: list[Scores] = []  # of the batch that it judges, as far as they are here

    def judge(self, tasks: Sequence[Task]) -> None:
        """Send a batch to the process. Raises Died."""
        self.batches.append(Asked(tasks))
        if len(self.batches) == 1:
            self.deadline = time.monotonic() + _TIMEOUT_S
        seen = [(task.slot, task.decoded.size) for task in tasks if isinstance(task.decoded, Photo)]
        numbers, sizes = [slot for slot, _ in seen], [size for _, size in seen]
        self.channel.send({"slots": numbers, "sizes": sizes})

    def answered(self, packet: Packet) -> Answered | None:
        """Return the answer for the oldest batch; None while more packets of it are to come."""
        self._scores += map(unpacked, packet["scores"])
        if "infer_ms" not in packet:
            return None
        asked, scores = self.batches.popleft(), self._scores
        self._scores = []
        self.deadline = time.monotonic() + _TIMEOUT_S if self.batches else _NEVER
        return Answered(asked, scores, packet["infer_ms"], packet["splits"])


class Engine:
    """An engine. If one of its processes dies, the whole engine is dead.

    count: of processes, each of which judges batches of its own.
    plain: use the PlainPredictor even on a card, as the CudaPredictor may have killed an engine.
    device: where the model runs; None until it has passed its self-test.
    files: of its models, in the order of a cascade.
    rules: of each model, which turn its scores into decisions.
    """

    def __init__(
        self,
        settings: Settings,
        files: tuple[ModelFile, ...],
        slots: Slots,
        selector: BaseSelector,
        count: int = 1,
        *,
        plain: bool,
    ) -> None:
        self.files = files
        self.device: str | None = None
        self.rules = [rules_of(settings, each.details) for each in files]
        start = {
            "slots": slots.count,
            "layout": asdict(slots.layout),
            "models": [
                {"path": str(file.path), "min_confidence": rules.min_confidence}
                for file, rules in zip(files, self.rules, strict=True)
            ],
            # A process that has initialised CUDA cannot fork.
            "device": settings.device if count == 1 else "cpu",
            "plain": plain,
        }
        # The engine gets the bytes that were hashed here, not the file: rows name that hash.
        with ExitStack() as copies:
            weights = [copies.enter_context(_in_memory(file.content)) for file in files]
            given = [slots.descriptor, *weights]
            self.child = Child("gdwatch.processes.engine", start, given, forks=count - 1)
        self._ready_by = time.monotonic() + _START_S
        self._lanes = [_Lane(channel) for channel in (self.child, *self.child.forks)]
        self._selector = selector
        for lane in self._lanes:
            selector.register(lane.channel, EVENT_READ, self)

    @property
    def serving(self) -> tuple[Serving, ...]:
        """Return its models, as rows name them."""
        cascade = "+".join(file.details.name for file in self.files)
        suffix = f" cascade={cascade}" if len(self.files) > 1 else ""
        return tuple(
            Serving(
                sha256=file.sha256,
                name=file.details.name,
                version=file.details.version,
                details=file.details.model_dump(mode="json"),
                rules=f"{rules}{suffix}",
            )
            for file, rules in zip(self.files, self.rules, strict=True)
        )

    @property
    def has_room(self) -> bool:
        """Whether the engine is ready and a process may be given another batch now."""
        return self.device is not None and len(self._least_busy().batches) < DEPTH

    @property
    def is_busy(self) -> bool:
        """Whether the engine has a batch to judge."""
        return any(lane.batches for lane in self._lanes)

    @property
    def deadline(self) -> float:
        """The earliest deadline of its start and its batches, in seconds on the monotonic clock."""
        return min([self._ready_by, *(lane.deadline for lane in self._lanes)])

    def tasks(self) -> list[Task]:
        """Return the tasks of all batches at the engine."""
        return [task for lane in self._lanes for asked in lane.batches for task in asked.tasks]

    def judge(self, tasks: Sequence[Task]) -> None:
        """Send a batch to the process with the fewest batches. Raises Died."""
        self._least_busy().judge(tasks)

    def listen(self) -> list[Answered]:
        """Return new answers. Raises Died, and ActionNeeded if the engine refuses the model."""
        answers: list[Answered] = []
        died = False
        for lane in self._lanes:
            try:
                while (packet := lane.channel.receive()) is not None:
                    if "refused" in packet:
                        raise ActionNeeded(packet["refused"], packet["hint"])
                    if "ready" in packet:
                        self.device = packet["device"]
                        self._ready_by = _NEVER
                    elif (answered := lane.answered(packet)) is not None:
                        answers.append(answered)
            except Died:
                died = True
        if died and not answers:  # its answers count; the next call finds it dead again
            raise Died
        return answers

    def end(self) -> str:
        """Kill its processes, drop its batches, and return how it ended, for the log."""
        was_alive = self.child.is_alive()
        for lane in self._lanes:
            self._selector.unregister(lane.channel)
        self._lanes.clear()
        self.child.end()
        status = self.child.process.returncode
        is_ours = was_alive and status == -signal.SIGKILL
        return "a fork of it, or too late" if is_ours else f"status {status}"

    def _least_busy(self) -> _Lane:
        return min(self._lanes, key=lambda lane: len(lane.batches))


@contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    """A descriptor of a file in memory with this content, for a child."""
    descriptor = os.memfd_create("gdwatch-model", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as copy:
        copy.write(content)
        copy.flush()
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor


def rules_of(settings: Settings, details: Details) -> Rules:
    """Return the rules; the model gives what the settings leave open. details: its metadata."""
    own = settings.min_confidence
    return Rules(
        # Without a locator there is no face to crop: such a model always sees the whole picture.
        crop="whole" if details.locator is None else settings.crop,
        several_faces=settings.several_faces,
        min_confidence=details.min_confidence if own is None else own,
        min_face=settings.min_face,
        min_sharpness=settings.min_sharpness,
        bodies=details.min_confidence_bodies if settings.bodies else None,
    )
