"""How much of the rate here two nodes of a Ray cluster reach on the same cores.

    python -m tests.bench.cluster FOLDER [--rounds 3] [--part 250]

Both classify the pictures below FOLDER, in turns: `gdwatch classify` with as many workers as there
are cores, and `classify --engine ray` on two nodes that share those cores. Starting is left out:
the clock runs from the first answer here, and there from the moment when both judges are ready and
have read a few pictures. All run with the same niceness. The median of the rounds' shares counts.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from contextlib import closing
from itertools import islice
from pathlib import Path

os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own; 15 by default

import ray
from ray.cluster_utils import Cluster

from gdwatch.cluster import classify, storage
from gdwatch.cluster.classify import ClusterRun
from gdwatch.cluster.connection import connected
from gdwatch.cluster.pool import Done, JudgePool
from gdwatch.jobs.classify import Given, answers, inputs
from gdwatch.settings import Settings

NODES = 2
_FEW = 64


def here(settings: Settings, folder: str) -> float:
    """Photographs a second of this machine."""
    counted, began_s = 0, 0.0
    found = answers(settings, inputs(Given((folder,), null=False), settings.ignore), print)
    for _ in found:
        if not began_s:
            began_s = time.monotonic()
        else:
            counted += 1
    return counted / (time.monotonic() - began_s)


def there(settings: Settings, folder: str, part: int) -> float:
    """Photographs a second of two nodes on this machine's cores."""
    cores = len(os.sched_getaffinity(0)) // NODES
    bounds = {"num_cpus": cores, "object_store_memory": 300 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**bounds, "include_dashboard": False})
    output = tempfile.mkdtemp(prefix="gdwatch-bench-")
    try:
        for _ in range(NODES - 1):
            cluster.add_node(**bounds)
        with connected(cluster.address), closing(JudgePool(settings)) as pool:
            while pool.ready < NODES:  # a call that does nothing lets the others get ready
                list(pool.each("models", iter((1,)), lambda _: ()))
            few = [str(path) for path in islice(Path(folder).rglob("*.*"), _FEW)]
            _judged(pool, settings, ClusterRun(few, f"{output}/few", part=_FEW // 4))
            began_s = time.monotonic()
            done = _judged(pool, settings, ClusterRun([folder], f"{output}/all", part=part))
            return sum(each.result.count for each in done) / (time.monotonic() - began_s)
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(output)


def _judged(pool: JudgePool, settings: Settings, run: ClusterRun) -> list[Done[int]]:
    return list(classify.judged(pool, settings, run, storage.place(run.output)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", type=int, default=250, help="pictures of one part")
    given = parser.parse_args()
    shares = []
    for _ in range(given.rounds):
        alone = here(Settings(), str(given.folder))
        both = there(Settings(), str(given.folder), given.part)
        shares.append(both / alone)
        print(f"here {alone:.1f}/s, two nodes {both:.1f}/s: {both / alone:.0%}", flush=True)
    print(f"median of {given.rounds}: {statistics.median(shares):.0%} of the rate here")


if __name__ == "__main__":
    main()
