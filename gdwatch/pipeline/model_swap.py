"""A new model on trial: it replaces the one in service once it has passed its self-test."""

import structlog

from gdwatch.errors import ActionNeeded
from gdwatch.inference.model_file import ModelFile
from gdwatch.pipeline.engine_client import Engine
from gdwatch.processes.messages import Died
from gdwatch.processes.slots import Slots

log = structlog.get_logger()


class ModelSwap:
    """The trial of a new model, if there is one.

    A model that fails is logged, and the one in service stays.
    """

    def __init__(self) -> None:
        self._slots: Slots | None = None
        self._engine: Engine | None = None

    @property
    def has_passed(self) -> bool:
        """Whether there is a trial, and its model has passed its self-test."""
        return self._engine is not None and self._engine.device is not None

    def begin(self, engine: Engine, slots: Slots) -> None:
        """Begin a trial with an engine that has just started; engine and slots end with it."""
        self._engine, self._slots = engine, slots

    def listen(self, engine: Engine) -> None:
        """Take the answers of an engine that is not the one in service."""
        if engine is not self._engine:
            return  # its trial ended in the same turn
        try:
            engine.listen()
        except ActionNeeded as error:
            self._refuse(error.message)
        except Died:
            self._refuse("its engine died")

    def end_late(self, now_s: float) -> None:
        """End the trial if its engine has taken too long. now_s: seconds on the monotonic clock."""
        if self._engine is not None and now_s > self._engine.deadline:
            self._refuse("its engine does not start")

    def taken(self) -> tuple[ModelFile, ...]:
        """End the trial of models that have passed, and return their files."""
        assert self._engine is not None
        files = self._engine.files
        self.drop()
        return files

    def drop(self) -> None:
        """End the trial, if there is one."""
        if self._engine is not None and self._slots is not None:
            self._engine.end()
            self._slots.close()
        self._engine = self._slots = None

    def _refuse(self, why: str) -> None:
        log.error("model.refused", reason=why)
        self.drop()
