"""A photograph on its way through the pipeline."""

from dataclasses import dataclass

from gdwatch.values import Opened, Photo, Refusal


@dataclass(eq=False, slots=True)
class Task:
    """A photograph on its way.

    deaths: of workers that were decoding it. engine_deaths: of engines that were judging it.
    """

    opened: Opened
    deaths: int = 0
    engine_deaths: int = 0
    slot: int | None = None
    decoded: Photo | Refusal | None = None
    decoded_at: float = 0.0
