"""What follows when an engine dies: another one, a pause until its device is back, or the end."""

from collections.abc import Sequence

import structlog

from gdwatch.errors import GdwatchError, Trouble
from gdwatch.pipeline.task import Task

log = structlog.get_logger()

_MOST = 3  # in a row, or at one photograph, before the service gives up and is started anew


class EngineDeaths:
    """The deaths of the engines of one pipeline.

    device: the setting.
    any: whether an engine has died at all: the next ones keep away from the card's own predictor.
        Set before the next one starts.
    served: whether one has been ready before.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._in_a_row = 0
        self._why_gone = ""
        self.any = False
        self.served = False

    def answered(self) -> None:
        """An engine has judged a batch: what may kill it has not killed it."""
        self._in_a_row = 0

    def became_ready(self) -> None:
        """An engine has passed its self-test; if its device was gone, it is back."""
        if self._is_past_trying():
            self._in_a_row = 0
        self.served = True

    def require_device(self, *, ready: bool) -> None:
        """Raise Trouble while the device that has served does not come back.

        ready: whether the engine of now is.
        """
        if self._is_past_trying() and not ready:
            raise self._gone()

    def died(self, tasks: Sequence[Task], how: str, why: str, *, was_ready: bool) -> None:
        """An engine has died, and the next one is starting.

        tasks: what it was judging. how: it ended. why: in its own words, if it said any.

        Raises Trouble if the device is gone, GdwatchError if there is no sense in going on.
        """
        self._in_a_row += 1
        for task in tasks:
            task.engine_deaths += 1
        # What its other processes have answered meanwhile says nothing of what one dies of.
        poisonous = any(task.engine_deaths >= _MOST for task in tasks)
        if self._in_a_row < _MOST and not poisonous:
            log.error("engine.restarted", status=how)
        elif self.served and not was_ready:
            self._why_gone = why or f"its engine ended ({how}) before it was ready"
            raise self._gone()
        else:
            deaths = _MOST if poisonous else self._in_a_row
            raise GdwatchError(
                f"the engine on device {self._device} ended {deaths} times in a row"
                + (" at the same photographs" if poisonous else "")
                + f" (last: {how})",
                "its own message stands above; `gdwatch doctor` tries the device",
            )

    def _is_past_trying(self) -> bool:
        return self.served and self._in_a_row >= _MOST

    def _gone(self) -> Trouble:
        return Trouble(
            "device_gone",
            f"device {self._device}: {self._why_gone}",
            "look after the device (`gdwatch doctor` tries it); work goes on by itself",
        )
