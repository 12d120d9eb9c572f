"""How many photographs are judged together."""

from collections.abc import Sequence


def next_batch(arrivals_s: Sequence[float], now_s: float, size: int, wait_s: float) -> int:
    """How many of the waiting photographs to judge now, oldest first; 0 means: wait.

    arrivals_s: when each came, on the monotonic clock, oldest first.
    """
    if len(arrivals_s) >= size:
        return size
    if arrivals_s and now_s - arrivals_s[0] >= wait_s:
        return len(arrivals_s)
    return 0
