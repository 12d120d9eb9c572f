"""Running a pipeline until all photographs are judged, and closing the files of batches."""

import os
from collections.abc import Generator, Iterable, Iterator

from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.values import Batch, Opened


def drain(pipeline: Pipeline, photographs: Iterator[Opened]) -> Generator[Batch]:
    """Judge any number of photographs, and yield the batches.

    The files of a batch are closed when the next one is requested. Raises as `Pipeline.turn`.
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
    """Close the files of batches, whose descriptors came back with the decisions."""
    for batch in batches:
        for each in batch.judged:
            os.close(each.opened.descriptor)
