"""What signals ask of the service: stop, or read the model file again."""

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType


class Signals:
    """What signals have asked for so far.

    stopped_at: when they first asked to stop, monotonic.
    """

    def __init__(self) -> None:
        self.stop = False
        self.stopped_at = float("inf")
        self.reload = False

    def on_stop(self, number: int, _: FrameType | None) -> None:
        """SIGTERM, SIGINT."""
        if not self.stop:
            self.stopped_at = time.monotonic()
        self.stop = True
        if number == signal.SIGINT:
            # The second one ends the process as it stands: recovery is made for that.
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    def on_reload(self, number: int, _: FrameType | None) -> None:
        """SIGHUP."""
        self.reload = True


@contextlib.contextmanager
def handling_signals(wake_fd: int) -> Iterator[Signals]:
    """Heed signals while this lasts; each writes a byte to `wake_fd`, which ends a wait."""
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
