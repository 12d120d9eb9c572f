"""A file on its way through the pipeline."""

from dataclasses import dataclass

from gdwatch.values import Opened, Photo, Refusal


@dataclass(eq=False, slots=True)
class Task:
    """A file on its way through the pipeline.

    deaths: of workers that were decoding it. engine_deaths: of engines that were judging it.
    slot: where its pixels go; None before it is given to a worker, and once it is released.
    decoded_at: in seconds on the monotonic clock.
    """

    opened: Opened
    deaths: int = 0
    engine_deaths: int = 0
    slot: int | None = None
    decoded: Photo | Refusal | None = None
    decoded_at: float = 0.0
