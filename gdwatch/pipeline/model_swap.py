"""Another model on trial: it takes over from the one in service once it has passed."""

import structlog

from gdwatch.errors import ActionNeeded
from gdwatch.inference.model_file import ModelFile
from gdwatch.pipeline.engine_client import Engine
from gdwatch.processes.messages import Died
from gdwatch.processes.slots import Slots

log = structlog.get_logger()


class ModelSwap:
    """The trial of a model that is to take over, if there is one.

    A model that does not pass is reported, and the one in service stays.
    """

    def __init__(self) -> None:
        self._slots: Slots | None = None
        self._engine: Engine | None = None

    @property
    def has_passed(self) -> bool:
        """Whether the model is ready to take over."""
        return self._engine is not None and self._engine.device is not None

    def begin(self, engine: Engine, slots: Slots) -> None:
        """Begin the trial of an engine that has just started, with slots of its own.

        Both are ended with it.
        """
        self._engine, self._slots = engine, slots

    def listen(self, engine: Engine) -> None:
        """Hear what an engine says that is not the one in service."""
        if engine is not self._engine:
            return  # dropped in the same turn
        try:
            engine.listen()
        except ActionNeeded as error:
            self._refuse(error.message)
        except Died:
            self._refuse("its engine died")

    def end_late(self, now_s: float) -> None:
        """Give a model up that has taken too long to start."""
        if self._engine is not None and now_s > self._engine.deadline:
            self._refuse("its engine does not start")

    def taken(self) -> ModelFile:
        """End the trial of a model that has passed; returns its file."""
        assert self._engine is not None
        file = self._engine.file
        self.drop()
        return file

    def drop(self) -> None:
        """End the trial, whatever its state."""
        if self._engine is not None and self._slots is not None:
            self._engine.end()
            self._slots.close()
        self._engine = self._slots = None

    def _refuse(self, why: str) -> None:
        log.error("model.refused", reason=why)
        self.drop()
