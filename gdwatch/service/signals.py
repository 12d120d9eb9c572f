"""Signals to the service: stop, or load the model file again."""

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType


class Signals:
    """The requests that signals have made so far.

    stop, reload: whether requested. stopped_at: time of the first request to stop, monotonic.
    """

    def __init__(self) -> None:
        self.stop = False
        self.stopped_at = float("inf")
        self.reload = False

    def on_stop(self, number: int, _: FrameType | None) -> None:
        """Handle SIGTERM and SIGINT."""
        if not self.stop:
            self.stopped_at = time.monotonic()
        self.stop = True
        if number == signal.SIGINT:
            # A second Ctrl-C kills the process at once: the next start recovers.
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    def on_reload(self, number: int, _: FrameType | None) -> None:
        """Handle SIGHUP."""
        self.reload = True


@contextlib.contextmanager
def handling_signals(wake_fd: int) -> Iterator[Signals]:
    """Handle signals inside this context; each also writes a byte to `wake_fd`, to end a wait."""
    signals = Signals()
    handlers = {
        signal.SIGTERM: signals.on_stop,
        signal.SIGINT: signals.on_stop,
        signal.SIGHUP: signals.on_reload,
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    descriptor = signal.set_wakeup_fd(wake_fd, warn_on_full_buffer=False)
    try:
        yield signals
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
