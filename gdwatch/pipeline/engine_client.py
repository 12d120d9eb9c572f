"""The engine seen from the service: one model, in one process or several that share its memory."""

import os
import signal
import time
from collections import deque
from collections.abc import Sequence
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

DEPTH = 2  # batches at one process: one that it judges, one at hand
_TIMEOUT_S = 120.0
_NEVER = float("inf")
_START_S = 300.0  # a card may take its time, but a driver that hangs takes for ever


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch at the engine."""

    tasks: Sequence[Task]
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Answered:
    """A batch that came back.

    scores: for each decoded photograph, in order; boxes in pixels of what stands in its slot.
    """

    asked: Asked
    scores: Sequence[Scores]
    infer_ms: float
    splits: int


class _Lane:
    """One process of the engine, and the batches that it was given.

    deadline: when the batch that it judges is late, monotonic.
    """

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.batches: deque[Asked] = deque()
        self.deadline = _NEVER
        self._scores: list[Scores] = []  # of the batch that it judges, as far as they are here

    def judge(self, tasks: Sequence[Task]) -> None:
        """Give it a batch. Raises Died."""
        self.batches.append(Asked(tasks))
        if len(self.batches) == 1:
            self.deadline = time.monotonic() + _TIMEOUT_S
        seen = [(task.slot, task.decoded.size) for task in tasks if isinstance(task.decoded, Photo)]
        numbers, sizes = [slot for slot, _ in seen], [size for _, size in seen]
        self.channel.send({"slots": numbers, "sizes": sizes})

    def answered(self, packet: Packet) -> Answered | None:
        """Read what it says of the batch that it has had longest; None while more is to come."""
        self._scores += map(unpacked, packet["scores"])
        if "infer_ms" not in packet:
            return None
        asked, scores = self.batches.popleft(), self._scores
        self._scores = []
        self.deadline = time.monotonic() + _TIMEOUT_S if self.batches else _NEVER
        return Answered(asked, scores, packet["infer_ms"], packet["splits"])


class Engine:
    """An engine. It lives and dies as a whole, whichever of its processes does.

    count: of processes, each judging batches of its own.
    plain: keep away from the card's own way, of which an engine may have died.
    device: where the model runs; None until it has passed its self-test.
    rules: by which what it says becomes a decision.
    """

    def __init__(
        self,
        settings: Settings,
        file: ModelFile,
        slots: Slots,
        selector: BaseSelector,
        count: int = 1,
        *,
        plain: bool,
    ) -> None:
        self.file = file
        self.device: str | None = None
        self.rules = rules_of(settings, file.details)
        start = {
            "slots": slots.count,
            "layout": asdict(slots.layout),
            "model": str(file.path),
            # What has touched a card cannot fork.
            "device": settings.device if count == 1 else "cpu",
            "min_confidence": self.rules.min_confidence,
            "plain": plain,
        }
        # The engine gets the bytes that were hashed here, not the file: rows name what judged.
        weights = os.memfd_create("gdwatch-model", os.MFD_CLOEXEC)
        with os.fdopen(weights, "wb") as copy:
            copy.write(file.content)
            copy.flush()
            os.lseek(weights, 0, os.SEEK_SET)
            given = [slots.descriptor, weights]
            self.child = Child("gdwatch.processes.engine", start, given, forks=count - 1)
        self._ready_by = time.monotonic() + _START_S
        self._lanes = [_Lane(channel) for channel in (self.child, *self.child.forks)]
        self._selector = selector
        for lane in self._lanes:
            selector.register(lane.channel, EVENT_READ, self)

    @property
    def serving(self) -> Serving:
        """The model, as rows name it."""
        details = self.file.details
        return Serving(
            sha256=self.file.sha256,
            name=details.name,
            version=details.version,
            details=details.model_dump(mode="json"),
            rules=str(self.rules),
        )

    @property
    def has_room(self) -> bool:
        """Whether it may be given another batch now."""
        return self.device is not None and len(self._idlest().batches) < DEPTH

    @property
    def is_busy(self) -> bool:
        """Whether it has anything to judge."""
        return any(lane.batches for lane in self._lanes)

    @property
    def deadline(self) -> float:
        """When its start, or a batch that it judges, is late, monotonic."""
        return min([self._ready_by, *(lane.deadline for lane in self._lanes)])

    def tasks(self) -> list[Task]:
        """What it is judging."""
        return [task for lane in self._lanes for asked in lane.batches for task in asked.tasks]

    def judge(self, tasks: Sequence[Task]) -> None:
        """Give a batch to the process with the least to do. Raises Died."""
        self._idlest().judge(tasks)

    def listen(self) -> list[Answered]:
        """Take its answers. Raises Died, and ActionNeeded if it refuses its model."""
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
        if died and not answers:  # else it is dead the next time too: what it has answered counts
            raise Died
        return answers

    def end(self) -> str:
        """End its processes; returns how they have ended. What it was judging is forgotten."""
        was_alive = self.child.is_alive()
        for lane in self._lanes:
            self._selector.unregister(lane.channel)
        self._lanes.clear()
        self.child.end()
        status = self.child.process.returncode
        is_ours = was_alive and status == -signal.SIGKILL
        return "a fork of it, or too late" if is_ours else f"status {status}"

    def _idlest(self) -> _Lane:
        return min(self._lanes, key=lambda lane: len(lane.batches))


def rules_of(settings: Settings, details: Details) -> Rules:
    """The rules of the settings, with a model that has its own `min_confidence`."""
    own = settings.min_confidence
    return Rules(
        # Without a locator there is no face to crop: such a model always sees the whole picture.
        crop="whole" if details.locator is None else settings.crop,
        several_faces=settings.several_faces,
        min_confidence=details.min_confidence if own is None else own,
        min_face=settings.min_face,
        min_sharpness=settings.min_sharpness,
    )
