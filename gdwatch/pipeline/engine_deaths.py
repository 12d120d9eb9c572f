"""What happens when an engine dies: a new engine, a pause until its device is back, or the end."""

from collections.abc import Sequence

import structlog

from gdwatch.errors import GdwatchError, Trouble
from gdwatch.pipeline.task import Task

log = structlog.get_logger()

_MOST = 3  # deaths in a row, or with one photograph, before the service exits to be restarted


class EngineDeaths:
    """The deaths of the engines of one pipeline.

    device: the setting.
    happened: whether an engine has died: later ones do not use the CudaPredictor. Set before the
        next one starts.
    served: whether an engine of this pipeline has ever been ready.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._in_a_row = 0
        self._why_gone = ""
        self.happened = False
        self.served = False

    def answered(self) -> None:
        """Note that an engine has judged a batch: its deaths are no longer in a row."""
        self._in_a_row = 0

    def became_ready(self) -> None:
        """Note that an engine has passed its self-test: if the device was gone, it is back."""
        if self._has_given_up():
            self._in_a_row = 0
        self.served = True

    def require_device(self, *, ready: bool) -> None:
        """Raise Trouble while a device that has served before does not come back.

        ready: whether the current engine is.
        """
        if self._has_given_up() and not ready:
            raise self._gone()

    def died(self, tasks: Sequence[Task], how: str, why: str, *, was_ready: bool) -> None:
        """Note that an engine has died, and the next one is starting.

        tasks: those it was judging. how: its exit status, for the log. why: its own message, if
        there is one. was_ready: whether it had passed its self-test.

        Raises Trouble if the device is gone, GdwatchError after too many deaths.
        """
        self._in_a_row += 1
        for task in tasks:
            task.engine_deaths += 1
        # Per task, since answers of the engine's other processes reset the count in a row.
        is_poison = any(task.engine_deaths >= _MOST for task in tasks)
        if self._in_a_row < _MOST and not is_poison:
            log.error("engine.restarted", status=how)
        elif self.served and not was_ready:
            self._why_gone = why or f"its engine ended ({how}) before it was ready"
            raise self._gone()
        else:
            deaths = _MOST if is_poison else self._in_a_row
            raise GdwatchError(
                f"the engine on device {self._device} ended {deaths} times in a row"
                + (" at the same photographs" if is_poison else "")
                + f" (last: {how})",
                "its own message stands above; `gdwatch doctor` tries the device",
            )

    def _has_given_up(self) -> bool:
        return self.served and self._in_a_row >= _MOST

    def _gone(self) -> Trouble:
        return Trouble(
            "device_gone",
            f"device {self._device}: {self._why_gone}",
            "look after the device (`gdwatch doctor` tries it); work goes on by itself",
        )
