import os
import signal
import time

from gdwatch.service.signals import handling_signals


def test_a_stop_is_counted_from_the_first_signal() -> None:
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    try:
        with handling_signals(writable) as signals:
            assert signals.stopped_at == float("inf")
            before = time.monotonic()
            signal.raise_signal(signal.SIGTERM)
            first = signals.stopped_at
            signal.raise_signal(signal.SIGTERM)
            assert signals.stop
            assert before <= first == signals.stopped_at <= time.monotonic()
            assert not signals.reload
    finally:
        os.close(readable)
        os.close(writable)
