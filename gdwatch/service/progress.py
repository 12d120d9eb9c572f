"""Whether photographs get on, so that systemd's watchdog is fed by more than a loop that turns."""

import time

_STALL_S = 300.0


class Progress:
    """When a photograph last got on, on the monotonic clock."""

    def __init__(self) -> None:
        self._at_s = time.monotonic()

    def made(self) -> None:
        """A photograph has got on, or there is none to get on."""
        self._at_s = time.monotonic()

    def excuse(self, seconds: float) -> None:
        """So long photographs had no chance: their neighbours were being moved."""
        self._at_s += seconds

    def is_stalled(self) -> bool:
        """Whether photographs have waited for longer than any work takes."""
        return time.monotonic() - self._at_s > _STALL_S
