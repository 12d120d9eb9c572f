"""How many of everything there are, where the settings leave it to the cores and the device."""

import itertools
import os
from pathlib import Path

from gdwatch.decode.reduce import Reduction
from gdwatch.pipeline import engine, worker_pool
from gdwatch.settings import Settings

_SLOTS_BYTES = 1 << 30  # of decoded photographs, if all were as large as they can be
_NVIDIA = Path("/proc/driver/nvidia")  # its device files may only come with the first program
_MOST_ENGINES = 6  # processes that judge: as much as one service can file


def workers_of(settings: Settings) -> int:
    """How many decode workers there are with these settings."""
    return len(os.sched_getaffinity(0)) if settings.workers == "auto" else settings.workers


def engines_of(settings: Settings) -> int:
    """How many processes judge: one on a card; else, each with one thread, on most of the cores."""
    workers = workers_of(settings)
    return 1 if _on_card(settings) else min(_MOST_ENGINES, workers - workers // 4)


def batch_size_of(settings: Settings) -> int:
    """How many photographs are judged together with these settings."""
    if settings.batch_size != "auto":
        return settings.batch_size
    return 128 if _on_card(settings) else 32


def places_of(settings: Settings, layout: Reduction) -> int:
    """How many photographs are on their way at most with these settings."""
    workers, batch_size = workers_of(settings), batch_size_of(settings)
    batches = engines_of(settings) * engine.DEPTH + 1
    wanted = workers * worker_pool.DEPTH + batches * batch_size
    return max(2 * workers + batch_size, min(wanted, _SLOTS_BYTES // layout.most_bytes))


def _on_card(settings: Settings) -> bool:
    # Only the engine can ask torch for a GPU; the drivers' device files need no torch.
    files = itertools.chain.from_iterable(
        map(Path("/dev").glob, ("nvidia[0-9]*", "nvhost-gpu", "nvgpu", "dxg", "kfd"))
    )
    has_card = settings.device == "auto" and (any(files) or _NVIDIA.exists())
    return has_card or settings.device.startswith("cuda")
