"""The page, served beside the loop by a child process: where `ui_port` is set.

Filing never waits for it: a page that cannot be served, or ends, costs a line of the log, and is
tried again after a while.
"""

import structlog

from gdwatch.backoff import Delay
from gdwatch.processes.child import Child
from gdwatch.processes.messages import Died, Packet
from gdwatch.settings import Settings

log = structlog.get_logger()

_LOOK_S = 1.0
_DELAY = Delay(first_s=2.0, longest_s=120.0)
_LASTING_S = 60.0  # a page that has lived so long starts again without a long wait


class Page:
    """The page of one service. All times are in seconds, monotonic."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._child: Child | None = None
        self._began_s = 0.0
        self._wait_s: float | None = None
        self._look_at_s = 0.0 if settings.ui_port is not None else float("inf")
        self._said = ""  # in the log, of what is still wrong
        self._has_told = False  # this child, why it ends

    def look(self, now_s: float) -> None:
        """Start the page if it is due, and hear how it stands; at most once a second."""
        if now_s < self._look_at_s:
            return
        self._look_at_s = now_s + _LOOK_S
        if self._child is None:
            self._start(now_s)
            return
        try:
            while (packet := self._child.receive()) is not None:
                self._hear(packet)
        except Died:
            self._ended(now_s, "ui: its process has ended", "")

    def _start(self, now_s: float) -> None:
        self._began_s = now_s
        self._has_told = False
        given = {"settings": self._settings.model_dump(mode="json")}
        try:
            self._child = Child("gdwatch.ui.served", given, [])
        except OSError as error:
            self._ended(now_s, f"ui: its process cannot start: {error.strerror}", "")

    def _hear(self, packet: Packet) -> None:
        if "address" in packet:
            self._said = ""
            log.info("ui.listening", address=str(packet["address"]))
        else:
            self._has_told = True
            self._say(str(packet.get("failed")), str(packet.get("hint")))

    def _ended(self, now_s: float, what: str, hint: str) -> None:
        if now_s - self._began_s > _LASTING_S:
            self._wait_s = None
            self._said = ""
        if not self._has_told:
            self._say(what, hint)
        self._wait_s = _DELAY.after(self._wait_s)
        self._look_at_s = now_s + self._wait_s
        self.close()

    def _say(self, what: str, hint: str) -> None:
        """Log what is wrong, but not at each try."""
        if what != self._said:
            log.warning("ui.failed", what=what, hint=hint)
        self._said = what

    def close(self) -> None:
        """End the page, if it is served. Whatever it has recorded stays recorded."""
        child, self._child = self._child, None
        if child is not None:
            child.end()
