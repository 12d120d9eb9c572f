"""The engine seen from the service: one process with one model, and the batches it was given."""

import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from selectors import EVENT_READ, BaseSelector

from gdwatch.children import Child
from gdwatch.decoding import Task
from gdwatch.errors import ActionNeeded
from gdwatch.model_file import ModelFile
from gdwatch.settings import Settings
from gdwatch.slots import Slots

DEPTH = 2  # batches at the engine: one that it judges, one at hand
_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch at the engine."""

    tasks: Sequence[Task]
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Answered:
    """A batch that came back. p_male: one for each decoded photograph, in order."""

    asked: Asked
    p_male: Sequence[float]
    infer_ms: float
    splits: int


class Judging:
    """One engine process.

    device: where the model runs; None until it has passed its self-test.
    deadline: when the batch that it judges is late, monotonic.
    """

    def __init__(
        self, settings: Settings, file: ModelFile, slots: Slots, selector: BaseSelector
    ) -> None:
        self.file = file
        self.device: str | None = None
        self.batches: deque[Asked] = deque()
        self.deadline = float("inf")
        self.min_confidence = (
            file.details.min_confidence
            if settings.min_confidence is None
            else settings.min_confidence
        )
        start = {
            "slots": slots.count,
            "side": slots.side,
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
        self.child.send({"slots": [task.slot for task in tasks if task.slot is not None]})

    def listen(self) -> list[Answered]:
        """Take its answers. Raises Died, and ActionNeeded if it refuses its model."""
        answers = []
        while (packet := self.child.receive()) is not None:
            if "refused" in packet:
                raise ActionNeeded(packet["refused"], packet["hint"])
            if "ready" in packet:
                self.device = packet["device"]
                continue
            asked = self.batches.popleft()
            self.deadline = time.monotonic() + _TIMEOUT_S if self.batches else float("inf")
            answers.append(Answered(asked, packet["p_male"], packet["infer_ms"], packet["splits"]))
        return answers

    def end(self) -> int:
        """End the process; returns its status."""
        self._selector.unregister(self.child)
        self.child.end()
        return int(self.child.process.returncode)
