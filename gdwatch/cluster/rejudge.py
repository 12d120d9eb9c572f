"""`reprocess --engine ray`: the cluster judges, and this process alone reads files and records.

The judges get bytes, so they need neither the folders nor the ledger, and what they say is of the
bytes that were read here.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from gdwatch.cluster.connection import connected
from gdwatch.cluster.pool import Done, JudgePool
from gdwatch.cluster.shared_pipeline import JudgedBytes
from gdwatch.errors import GdwatchError
from gdwatch.files.content import read_whole
from gdwatch.jobs.rejudge import Rejudging, Tally
from gdwatch.pipeline import decide
from gdwatch.pipeline.pipeline import allow_many_open_files
from gdwatch.settings import Settings
from gdwatch.values import Batch, Judged, Opened, Refusal, Serving

_SLICE_FILES = 64
_SLICE_BYTES = 32 << 20


@dataclass(eq=False, slots=True)
class _Slice:
    """Files that are judged together. refused: by number, those that are not sent."""

    files: tuple[Opened, ...]
    refused: dict[int, Refusal]
    sent_at: datetime


def over(
    rejudging: Rejudging, paths: Iterator[bytes], settings: Settings, address: str | None
) -> Iterator[Tally]:
    """Do as `Rejudging.over` does, on the Ray cluster at this address; None: of this machine alone.

    Raises as that does, and GdwatchError where the cluster cannot be reached, or no judge is left.
    """
    allow_many_open_files()
    with connected(address), closing(JudgePool(settings)) as pool:

        def judge(photographs: Iterator[Opened]) -> Iterator[Batch]:
            return judged(pool, photographs, settings.max_bytes)

        yield from rejudging.judged_by(judge, pool.models, paths)


def judged(pool: JudgePool, photographs: Iterator[Opened], max_bytes: int) -> Iterator[Batch]:
    """Yield the batches of any number of photographs, as their judges answer.

    The files of a batch are closed when the next one is requested.
    """
    open_: set[int] = set()

    def slices() -> Iterator[_Slice]:
        for each in _slices(photographs):
            open_.update(opened.descriptor for opened in each.files)
            yield each

    def given(slice_: _Slice) -> tuple[list[bytes]]:
        slice_.refused = {}
        return ([*_contents(slice_, max_bytes)],)

    try:
        for done in pool.each("judge", slices(), given):
            yield _batch(done, pool.models)
            for opened in done.work.files:
                open_.discard(opened.descriptor)
                os.close(opened.descriptor)
    finally:
        for descriptor in open_:
            os.close(descriptor)


def _slices(photographs: Iterator[Opened]) -> Iterator[_Slice]:
    taken: list[Opened] = []
    size_bytes = 0
    for each in photographs:
        taken.append(each)
        size_bytes += each.drop.identity.size_bytes
        if len(taken) == _SLICE_FILES or size_bytes > _SLICE_BYTES:
            yield _Slice(tuple(taken), {}, datetime.now(UTC))
            taken, size_bytes = [], 0
    if taken:
        yield _Slice(tuple(taken), {}, datetime.now(UTC))


def _contents(slice_: _Slice, max_bytes: int) -> Iterator[bytes]:
    """Yield the bytes of the files; note those that are refused without them."""
    for number, opened in enumerate(slice_.files):
        size = opened.drop.identity.size_bytes
        if size > max_bytes:
            detail = f"{size} bytes are more than max_bytes {max_bytes}"
            slice_.refused[number] = Refusal("too_many_bytes", detail)
            continue
        try:
            yield read_whole(opened.descriptor)
        except OSError as error:
            slice_.refused[number] = Refusal("unreadable", error.strerror or str(error))


def _batch(done: Done[_Slice], models: tuple[Serving, ...]) -> Batch:
    """Return the batch of a slice. Raises GdwatchError if its judge has."""
    if isinstance(done.result, GdwatchError):
        raise done.result
    found: list[JudgedBytes] = done.result
    answers = iter(found)
    files = tuple(
        _refused(opened, done.work.refused[number], models)
        if number in done.work.refused
        else _judged(opened, next(answers), models)
        for number, opened in enumerate(done.work.files)
    )
    device = next((each.device for each in found if each.device is not None), None)
    infer_ms = sum(each.infer_ms for each in found)
    return Batch(files, models[0], device, infer_ms, done.work.sent_at, datetime.now(UTC))


def _judged(opened: Opened, answer: JudgedBytes, models: tuple[Serving, ...]) -> Judged:
    return Judged(opened, answer.decoded, answer.decision, models[answer.model])


def _refused(opened: Opened, refusal: Refusal, models: tuple[Serving, ...]) -> Judged:
    return Judged(opened, refusal, decide.refuse(refusal), models[0])
