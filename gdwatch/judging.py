"""The engine seen from the service: one process with one model, and the batches it was given."""

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, field
from datetime import UTC, datetime
from selectors import EVENT_READ, BaseSelector
from typing import Any

from gdwatch.children import Child, Died, Packet
from gdwatch.decoding import Task
from gdwatch.errors import ActionNeeded
from gdwatch.model_file import ModelFile
from gdwatch.settings import Settings
from gdwatch.slots import Slots
from gdwatch.values import Box, Face, Photo, Scores

DEPTH = 2  # batches at the engine: one that it judges, one at hand
_TIMEOUT_S = 120.0
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


class Judging:
    """One engine process.

    device: where the model runs; None until it has passed its self-test.
    deadline: when its start, then the batch that it judges, is late, monotonic.
    """

    def __init__(
        self, settings: Settings, file: ModelFile, slots: Slots, selector: BaseSelector
    ) -> None:
        self.file = file
        self.device: str | None = None
        self.batches: deque[Asked] = deque()
        self.deadline = time.monotonic() + _START_S
        self.min_confidence = (
            file.details.min_confidence
            if settings.min_confidence is None
            else settings.min_confidence
        )
        start = {
            "slots": slots.count,
            "layout": asdict(slots.layout),
            "model": str(file.path),
            "device": settings.device,
            "min_confidence": self.min_confidence,
        }
        # The engine gets the bytes that were hashed here, not the file: rows name what judged.
        weights = os.memfd_create("gdwatch-model", os.MFD_CLOEXEC)
        with os.fdopen(weights, "wb") as copy:
            copy.write(file.content)
            copy.flush()
            os.lseek(weights, 0, os.SEEK_SET)
            self.child = Child("gdwatch.engine", start, [slots.descriptor, weights])
        self._selector = selector
        selector.register(self.child, EVENT_READ, self)

    @property
    def has_room(self) -> bool:
        """Whether it may be given another batch now."""
        return self.device is not None and len(self.batches) < DEPTH

    def tasks(self) -> list[Task]:
        """What it is judging."""
        return [task for asked in self.batches for task in asked.tasks]

    def judge(self, tasks: Sequence[Task]) -> None:
        """Give it a batch. Raises Died."""
        self.batches.append(Asked(tasks))
        if len(self.batches) == 1:
            self.deadline = time.monotonic() + _TIMEOUT_S
        seen = [(task.slot, task.decoded.size) for task in tasks if isinstance(task.decoded, Photo)]
        self.child.send({"slots": [slot for slot, _ in seen], "sizes": [size for _, size in seen]})

    def listen(self) -> list[Answered]:
        """Take its answers. Raises Died, and ActionNeeded if it refuses its model."""
        answers: list[Answered] = []
        while (packet := self._receive(answers)) is not None:
            if "refused" in packet:
                raise ActionNeeded(packet["refused"], packet["hint"])
            if "ready" in packet:
                self.device = packet["device"]
                self.deadline = float("inf")
                continue
            asked = self.batches.popleft()
            self.deadline = time.monotonic() + _TIMEOUT_S if self.batches else float("inf")
            scores = [unpacked(each) for each in packet["scores"]]
            answers.append(Answered(asked, scores, packet["infer_ms"], packet["splits"]))
        return answers

    def _receive(self, answers: Sequence[Answered]) -> Packet | None:
        """The next packet; what came before the end of a dead engine is taken first."""
        try:
            return self.child.receive()
        except Died:
            if answers:
                return None  # it is dead the next time too
            raise

    def end(self) -> int:
        """End the process; returns its status."""
        self._selector.unregister(self.child)
        self.child.end()
        return int(self.child.process.returncode)


def packed(scores: Scores) -> list[Any]:
    """Scores as a packet carries them: short, since thousands of faces must fit."""
    faces = []
    for face in scores.faces:
        box = [round(number, 1) for number in astuple(face.box)]
        faces.append([*box, round(face.score, 4), face.p_male, round(face.sharpness, 1)])
    return [scores.p_male, scores.count, faces]


def unpacked(packed: Sequence[Any]) -> Scores:
    """Scores from a packet."""
    p_male, count, faces = packed
    return Scores(p_male, count, tuple(Face(Box(*face[:4]), *face[4:]) for face in faces))
