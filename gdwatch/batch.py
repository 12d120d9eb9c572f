"""How many photographs are judged together, and how many batches of them recorded together."""

from collections.abc import Sequence

# Batches recorded together at most, and files, unless one batch has more: a sync or a commit costs
# as much for one of them.
TOGETHER, FILES_TOGETHER = 4, 128


def next_batch(arrivals_s: Sequence[float], now_s: float, size: int, wait_s: float) -> int:
    """How many of the waiting photographs to judge now, oldest first; 0 means: wait.

    arrivals_s: when each came, on the monotonic clock, oldest first.
    """
    if len(arrivals_s) >= size:
        return size
    if arrivals_s and now_s - arrivals_s[0] >= wait_s:
        return len(arrivals_s)
    return 0


def recorded_together(sizes: Sequence[int], *, one_by_one: bool) -> int:
    """How many of the waiting batches to record now, oldest first.

    sizes: how many files each has.
    """
    files = count = 0
    for size in sizes[: 1 if one_by_one else TOGETHER]:
        files += size
        if count and files > FILES_TOGETHER:
            break
        count += 1
    return count
