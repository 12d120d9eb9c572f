"""Runs a batch for which memory is short in halves."""

from collections.abc import Callable

import torch
from torch import Tensor


def in_halves(forward: Callable[[Tensor], Tensor], batch: Tensor) -> tuple[Tensor, int]:
    """Run a batch; if memory runs out, run its halves instead, recursively.

    Returns what `forward` returns for the whole batch, and how many times a batch was halved.
    Raises torch.OutOfMemoryError if one row alone does not fit.
    """
    try:
        return forward(batch), 0
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
    # Outside the handler, where the traceback would keep the failed batch's tensors alive.
    torch.cuda.empty_cache()  # does nothing where there is no card
    middle = len(batch) // 2
    first, first_splits = in_halves(forward, batch[:middle])
    second, second_splits = in_halves(forward, batch[middle:])
    return torch.cat((first, second)), first_splits + second_splits + 1
