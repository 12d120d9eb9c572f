"""The throughput of this machine with the settings in force, photographs a second, and its limit.

The photographs are synthetic and in memory. They are read, decoded and judged as in the service;
nothing is recorded or moved.
"""

import io
import itertools
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from PIL import Image

from gdwatch.errors import GdwatchError
from gdwatch.files.identity import identity_of
from gdwatch.pipeline.drain import close_files
from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.settings import Settings
from gdwatch.values import Batch, Drop, Opened

SIDES = (200, 1280)  # pixels of the longer side: a face cut out, and a portrait
SECONDS = 6.0  # for each side
_WARM_UP = 0.2  # the share of SECONDS that is not measured
_PICTURES = 16
_START_S = 120.0  # for the engine to start
_BUSY = 0.85


@dataclass(frozen=True, slots=True)
class Speed:
    """The throughput with photographs of one size.

    side: the longer one, in pixels. decoding, judging: the share of the time, 0 to 1, in which the
    workers and the engine were busy. bound: what limits the throughput.
    """

    side: int
    photographs_a_second: float
    decoding: float
    judging: float
    bound: str


@dataclass(frozen=True, slots=True)
class Bench:
    """The throughput for each size, and the device and counts that `auto` has chosen."""

    device: str
    workers: int
    engines: int
    batch_size: int
    speeds: tuple[Speed, ...]


def bench(settings: Settings) -> Bench:
    """Measure for about 20 s. Raises GdwatchError if the engine does not start."""
    with closing(Pipeline(settings)) as pipeline:
        end = time.monotonic() + _START_S
        while not pipeline.ready:
            if time.monotonic() > end:
                raise GdwatchError("the engine does not start", "try `gdwatch model verify`")
            pipeline.turn(timeout_s=1.0)
        workers, engines = pipeline.capacity.workers, pipeline.capacity.engines
        speeds = tuple(_speed(pipeline, side, workers, engines) for side in SIDES)
        batch_size = pipeline.capacity.batch_size
        return Bench(str(pipeline.device), workers, engines, batch_size, speeds)


def bound(decoding: float, judging: float) -> str:
    """Name what limits the throughput. decoding, judging: the busy shares, see `Speed`."""
    match decoding >= _BUSY, judging >= _BUSY:
        case True, True:
            return "the processor: workers and engine share its cores"
        case True, False:
            return "decoding, in the workers"
        case False, True:
            return "the networks, in the engine"
        case _:
            return "neither: other programs, or handing over"


def _speed(pipeline: Pipeline, side: int, workers: int, engines: int) -> Speed:
    with ExitStack() as stack:
        drops = []
        for picture in pictures(side, _PICTURES):
            descriptor = os.memfd_create("gdwatch-bench", os.MFD_CLOEXEC)
            stack.callback(os.close, descriptor)
            os.write(descriptor, picture)
            identity = identity_of(os.fstat(descriptor))
            drops.append(Opened(Drop(b"made", identity, datetime.now(UTC)), descriptor))
        began, batches = _measure(pipeline, itertools.cycle(drops))
        seconds = time.monotonic() - began
        while pipeline.outstanding:
            close_files(pipeline.turn(timeout_s=1.0))
    decode_s = sum(each.decoded.decode_ms for batch in batches for each in batch.judged) / 1000
    judge_s = sum(batch.infer_ms for batch in batches) / 1000
    decoding, judging = decode_s / seconds / workers, judge_s / seconds / engines
    count = sum(len(batch.judged) for batch in batches)
    return Speed(side, count / seconds, decoding, judging, bound(decoding, judging))


def _measure(pipeline: Pipeline, drops: Iterator[Opened]) -> tuple[float, list[Batch]]:
    """Keep the pipeline full; return the monotonic start of the measurement, and its batches."""
    began = time.monotonic() + SECONDS * _WARM_UP
    end = began + SECONDS * (1 - _WARM_UP)
    batches: list[Batch] = []
    while time.monotonic() < end or not batches:
        while pipeline.room:
            drop = next(drops)
            pipeline.offer(Opened(drop.drop, os.dup(drop.descriptor)))
        some = pipeline.turn(timeout_s=1.0)
        close_files(some)
        if time.monotonic() >= began:
            batches += some
    return began, batches


def pictures(side: int, count: int) -> Iterator[bytes]:
    """Yield JPEGs of quality 87, clouds with grain: in bytes like photographs of this size."""
    dice = np.random.default_rng(side)
    width, height = side * 3 // 4, side
    for _ in range(count):
        clouds = Image.fromarray(dice.integers(0, 256, (16, 12, 3), dtype=np.uint8))
        grain = Image.fromarray(dice.integers(0, 256, (height // 3, width // 3, 3), dtype=np.uint8))
        clouds, grain = (
            each.resize((width, height), Image.Resampling.BICUBIC) for each in (clouds, grain)
        )
        stream = io.BytesIO()
        Image.blend(clouds, grain, 0.15).save(stream, "JPEG", quality=87)
        yield stream.getvalue()
