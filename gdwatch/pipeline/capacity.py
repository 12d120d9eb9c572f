"""The number of workers, engine processes and slots, from the settings, cores and device."""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from gdwatch.decode.reduce import Reduction
from gdwatch.pipeline import engine_client, worker_pool
from gdwatch.settings import Settings

_SLOTS_BYTES = 1 << 30  # for slots, if every photograph were of the largest size
_NVIDIA = Path("/proc/driver/nvidia")  # /dev/nvidia* may only appear with the first CUDA program
_MOST_ENGINES = 6  # more would judge faster than one service can file


@dataclass(frozen=True, slots=True)
class Capacity:
    """The dimensions of one pipeline.

    workers: processes that read and decode. engines: processes that judge.
    slots: for decoded photographs; this bounds the number of photographs in the pipeline.
    worker_depth: files at one worker at most, the one that it decodes included.
    batch_size: photographs judged together at most. wanted_batch_size: that of the settings, which
    is larger if so many do not fit into the memory for slots.
    """

    workers: int
    engines: int
    slots: int
    worker_depth: int
    batch_size: int
    wanted_batch_size: int

    @classmethod
    def of(cls, settings: Settings, reduction: Reduction) -> "Capacity":
        """Work out the capacity. reduction: how large a photograph in its slot may be."""
        workers, engines, wanted = _workers(settings), _engines(settings), _batch_size(settings)
        judged = engines * engine_client.DEPTH  # batches at all engine processes
        most = workers * worker_pool.DEPTH + (judged + 1) * wanted
        slots = max(2 * workers + wanted, min(most, _SLOTS_BYTES // reduction.most_bytes))
        depth = min(worker_pool.DEPTH, max(2, (slots - judged * wanted) // workers))
        batch_size = max(1, min(wanted, (slots - workers * depth) // judged))
        return cls(workers, engines, slots, depth, batch_size, wanted)


def _workers(settings: Settings) -> int:
    return len(os.sched_getaffinity(0)) if settings.workers == "auto" else settings.workers


def _engines(settings: Settings) -> int:
    """One engine process on a card; on a CPU one for most of the cores, as each has one thread."""
    workers = _workers(settings)
    return 1 if is_on_card(settings) else min(_MOST_ENGINES, workers - workers // 4)


def _batch_size(settings: Settings) -> int:
    if settings.batch_size != "auto":
        return settings.batch_size
    return 128 if is_on_card(settings) else 32


def is_on_card(settings: Settings) -> bool:
    """Whether the model will run on a card, as far as can be told without torch."""
    # Only the engine may load torch and ask it for a GPU; here the drivers' device files tell.
    files = itertools.chain.from_iterable(
        map(Path("/dev").glob, ("nvidia[0-9]*", "nvhost-gpu", "nvgpu", "dxg", "kfd"))
    )
    has_card = settings.device == "auto" and (any(files) or _NVIDIA.exists())
    return has_card or settings.device.startswith("cuda")
