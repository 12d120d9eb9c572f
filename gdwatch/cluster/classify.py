"""`classify --engine ray`: pictures of any storage, judged on a cluster, answers as Parquet."""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from gdwatch.cluster import storage
from gdwatch.cluster.connection import connected
from gdwatch.cluster.parts import Output
from gdwatch.cluster.pool import Done, JudgePool
from gdwatch.cluster.storage import Picture, StorageFailed
from gdwatch.errors import GdwatchError
from gdwatch.root import lock
from gdwatch.settings import Settings

PART = 1000  # pictures of one part
_FAILED_IN_A_ROW = 5  # parts that the storage fails before the run gives up


@dataclass(frozen=True, slots=True)
class ClusterRun:
    """What is to be judged, and where.

    sources: paths and URLs. output: the folder of answers. address: of the cluster, None for one of
    this machine alone. part: how many pictures are written together.
    """

    sources: Sequence[str]
    output: str
    address: str | None = None
    part: int = PART


@dataclass(slots=True)
class Totals:
    """Counts of a run.

    outcomes: of the pictures that it has judged. unread: how many of them are `unreadable`.
    failed: what went wrong with the parts that have no answers.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    unread: int = 0
    failed: list[GdwatchError] = field(default_factory=list)


def classify(settings: Settings, run: ClusterRun, seen: Callable[[int], None]) -> Totals:
    """Judge all that has no answer yet. seen: called with the number of pictures of each part.

    Raises GdwatchError.
    """
    output = storage.place(run.output)
    totals = Totals()
    with ExitStack() as stack:
        if output.is_local:
            folder = Path(output.path)
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise storage.failed(run.output, error) from error
            stack.enter_context(lock.hold_folder(folder))
        stack.enter_context(connected(run.address))
        pool = stack.enter_context(closing(JudgePool(settings)))
        in_a_row = 0
        for done in judged(pool, settings, run, output):
            in_a_row = in_a_row + 1 if _is_failed(done, totals) else 0
            if in_a_row == _FAILED_IN_A_ROW:
                raise totals.failed[-1]
            if not in_a_row:
                seen(done.result.count)
    return totals


def judged(
    pool: JudgePool, settings: Settings, run: ClusterRun, output: storage.Place
) -> Iterator[Done[int]]:
    """Let a pool answer for each part that has no answers; yield the parts as they are done."""
    numbers = _numbers(Output(output, pool.models), run, settings)
    return pool.each("classify", numbers, lambda number: (output, number))


def _numbers(output: Output, run: ClusterRun, settings: Settings) -> Iterator[int]:
    """Yield the numbers of the parts to judge: the unfinished ones, then those of new pictures."""
    known = set(output.known())
    yield from output.unfinished()
    new = _new(_listed(run.sources, settings.ignore), known)
    while pictures := tuple(itertools.islice(new, run.part)):
        yield output.added(pictures)


def _new(pictures: Iterator[Picture], known: set[str]) -> Iterator[Picture]:
    """Yield the pictures that are not known yet, once each: a source may be given twice."""
    for each in pictures:
        if each.path not in known:
            known.add(each.path)
            yield each


def _listed(sources: Sequence[str], ignored: tuple[str, ...]) -> Iterator[Picture]:
    for source in sources:
        # The nodes have other working folders than this process.
        url = source if "://" in source else os.path.abspath(source)  # noqa: PTH100 - text
        yield from storage.pictures(url, ignored)


def _is_failed(done: Done[int], totals: Totals) -> bool:
    """Count a part. Raises GdwatchError if it is not the storage that has failed it."""
    match done.result:
        case StorageFailed() as error:
            totals.failed.append(error)
            return True
        case GdwatchError() as error:
            raise error
        case written:
            totals.outcomes += written.outcomes
            totals.unread += written.unread
            return False
