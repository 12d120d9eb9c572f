"""Everything through a pipeline, batch after batch; and the end of the files of a batch."""

import os
from collections.abc import Generator, Iterable, Iterator

from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.values import Batch, Opened


def drain(pipeline: Pipeline, photographs: Iterator[Opened]) -> Generator[Batch]:
    """Judge all of them, whatever their number, and yield batch after batch.

    The files of a batch are closed when the next one is asked for.
    """
    waiting = True
    while waiting or pipeline.outstanding:
        while waiting and pipeline.room:
            opened = next(photographs, None)
            if opened is None:
                waiting = False
            else:
                pipeline.offer(opened)
        batches = pipeline.turn(timeout_s=1.0)
        try:
            yield from batches
        finally:
            close_files(batches)


def close_files(batches: Iterable[Batch]) -> None:
    """Let the files of batches go, whose descriptors came back with the decisions."""
    for batch in batches:
        for each in batch.judged:
            os.close(each.opened.descriptor)
