"""The processes of one training run, as `torchrun` starts them; without it there is one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

from gdwatch.errors import UsageError


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process and how many there are.

    rank: of this process, from 0 to size - 1; only 0 writes files and shows progress.
    """

    rank: int
    size: int
    device: torch.device

    def share(self, count: int) -> slice:
        """Which of the `count` pictures of a batch are this process's."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def mean(self, value: float) -> float:
        """The mean of every process's value."""
        if self.size == 1:
            return value
        values = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.all_reduce(values)
        return values.item() / self.size

    def require_equal_shares(self, batch: int) -> None:
        """Raise UsageError unless the batch size is a multiple of the number of processes.

        The gradients are averaged over the processes, so that shares must be equal.
        """
        if batch % self.size:
            raise UsageError(
                f"{self.size} processes: cannot share a batch of {batch} evenly",
                "start as many as divide it, or change `batch` in the recipe",
            )


def single_process() -> ProcessGroup:
    """The only process, on a GPU where there is one."""
    return ProcessGroup(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))


@contextmanager
def join_process_group() -> Iterator[ProcessGroup]:
    """Join the processes that `torchrun` has started; without it there is only this one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield single_process()
        return
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield ProcessGroup(rank, size, device)
    finally:
        dist.destroy_process_group()
