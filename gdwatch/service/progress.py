"""Whether photographs make progress: only then is systemd's watchdog fed."""

import time

_STALL_S = 300.0


class Progress:
    """The time of the last progress of a photograph, on the monotonic clock."""

    def __init__(self) -> None:
        self._at_s = time.monotonic()

    def made(self) -> None:
        """Note that a photograph has made progress, or that there is none."""
        self._at_s = time.monotonic()

    def excuse(self, seconds: float) -> None:
        """Do not count `seconds` in which photographs waited while other files were moved."""
        self._at_s += seconds

    def is_stalled(self) -> bool:
        """Whether no photograph has made progress for longer than any step takes."""
        return time.monotonic() - self._at_s > _STALL_S
