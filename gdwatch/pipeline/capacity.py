"""How many of everything there are, where the settings leave it to the cores and the device."""

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

from gdwatch.decode.reduce import Reduction
from gdwatch.pipeline import engine_client, worker_pool
from gdwatch.settings import Settings

_SLOTS_BYTES = 1 << 30  # of decoded photographs, if all were as large as they can be
_NVIDIA = Path("/proc/driver/nvidia")  # its device files may only come with the first program
_MOST_ENGINES = 6  # processes that judge: as much as one service can file


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one pipeline has.

    workers: processes that read and decode. engines: processes that judge.
    slots: places for decoded photographs, and so how many photographs are on their way at most.
    worker_depth: files that one worker has at most, the one included that it decodes.
    batch_size: photographs judged together at most. wanted_batch_size: as the settings have it;
    more than that where so many do not fit into the memory for slots.
    """

    workers: int
    engines: int
    slots: int
    worker_depth: int
    batch_size: int
    wanted_batch_size: int

    @classmethod
    def of(cls, settings: Settings, reduction: Reduction) -> "Capacity":
        """What these settings give. reduction: how large a photograph may be in its slot."""
        workers, engines, wanted = _workers(settings), _engines(settings), _batch_size(settings)
        judged = engines * engine_client.DEPTH  # batches at the engine
        most = workers * worker_pool.DEPTH + (judged + 1) * wanted
        slots = max(2 * workers + wanted, min(most, _SLOTS_BYTES // reduction.most_bytes))
        depth = min(worker_pool.DEPTH, max(2, (slots - judged * wanted) // workers))
        batch_size = max(1, min(wanted, (slots - workers * depth) // judged))
        return cls(workers, engines, slots, depth, batch_size, wanted)


def _workers(settings: Settings) -> int:
    return len(os.sched_getaffinity(0)) if settings.workers == "auto" else settings.workers


def _engines(settings: Settings) -> int:
    """One on a card; else, each with one thread, on most of the cores."""
    workers = _workers(settings)
    return 1 if _on_card(settings) else min(_MOST_ENGINES, workers - workers // 4)


def _batch_size(settings: Settings) -> int:
    if settings.batch_size != "auto":
        return settings.batch_size
    return 128 if _on_card(settings) else 32


def _on_card(settings: Settings) -> bool:
    # Only the engine can ask torch for a GPU; the drivers' device files need no torch.
    files = itertools.chain.from_iterable(
        map(Path("/dev").glob, ("nvidia[0-9]*", "nvhost-gpu", "nvgpu", "dxg", "kfd"))
    )
    has_card = settings.device == "auto" and (any(files) or _NVIDIA.exists())
    return has_card or settings.device.startswith("cuda")
