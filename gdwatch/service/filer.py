"""From decisions to folders: record, move, mark, and say what was done."""

from collections.abc import Sequence

# Batches recorded together at most, and files, unless one batch has more: a sync or a commit costs
# as much for one of them.
TOGETHER, FILES_TOGETHER = 4, 128


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
