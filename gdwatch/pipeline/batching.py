"""When a batch is judged, and how large it is."""

from collections.abc import Sequence


def next_batch(arrivals_s: Sequence[float], now_s: float, size: int, wait_s: float) -> int:
    """Return how many of the waiting photographs to judge now, oldest first; 0: wait.

    A batch is judged when it is full, or its oldest photograph has waited for `wait_s`.

    arrivals_s: when each was decoded, in seconds on the monotonic clock, oldest first.
    """
    if len(arrivals_s) >= size:
        return size
    if arrivals_s and now_s - arrivals_s[0] >= wait_s:
        return len(arrivals_s)
    return 0
