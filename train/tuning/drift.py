"""How many answers of photographs that nobody has corrected a new model would change."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import track

from gdwatch.inference.model import Model
from train.data.sources import Entry
from train.evaluation.photographs import Answered, answers

_LOOKED_AT = 200


@dataclass(frozen=True, slots=True)
class Drift:
    """Photographs that went the service's way with both models.

    of: how many there are; looked_at: an even selection. otherwise: how many get another answer,
    `unsure` being one; crossed: how many of these go from female to male or back.
    """

    of: int
    looked_at: int
    otherwise: int
    crossed: int


def drift(old: Model, new: Model, entries: Sequence[Entry]) -> Drift:
    """Look at some of these photographs with both models; unreadable ones are left out."""
    there = [entry for entry in entries if entry.place is not None]
    chosen = there[:: max(1, -(-len(there) // _LOOKED_AT))]
    console = Console(stderr=True)
    both = zip(answers([old], chosen), answers([new], chosen), strict=True)
    pairs = list(
        track(both, "looking back", len(chosen), console=console, disable=not console.is_terminal)
    )
    moved = [pair for pair in pairs if _outcome(pair[0]) != _outcome(pair[1])]
    crossed = [pair for pair in moved if "unsure" not in map(_outcome, pair)]
    return Drift(len(entries), len(pairs), len(moved), len(crossed))


def _outcome(answered: Answered) -> str:
    return answered.decision.outcome
