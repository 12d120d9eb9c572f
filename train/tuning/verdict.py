"""Whether the new model is better than the old one, in a plain sentence, and what would help."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import norm

from train.metrics import Bools, mcnemar

Kind = Literal["better", "no different", "worse", "forgets"]

SIGNIFICANT = 0.05
FORGOTTEN = 0.002  # share of the rehearsed faces that a new model may get wrong more often
_Z = float(norm.ppf(0.975))
_LITTLE = 0.99  # from this accuracy on there is little to gain
_LOPSIDED = 0.6  # share of the mistakes that are of one class, from which that class is named


@dataclass(frozen=True, slots=True)
class Compared:
    """Two models on the same pictures.

    old, new: accuracy, 0 to 1; gain: new - old. low, high: its 95 % interval, by Agresti and Min
        2005, doi:10.1002/sim.1781.
    only_old, only_new: pictures that one of them alone got right. p_value: McNemar's exact test.
    """

    pictures: int
    old: float
    new: float
    gain: float
    low: float
    high: float
    only_old: int
    only_new: int
    p_value: float


def compare(old_right: Bools, new_right: Bools) -> Compared:
    """Compare two models by what they got right, (N,) each, N ≥ 1."""
    count = len(old_right)
    only_old, only_new = int((old_right & ~new_right).sum()), int((new_right & ~old_right).sum())
    # Half a picture is added to each of the four cells, or the interval of none would be a point.
    lost, won, of = only_old + 0.5, only_new + 0.5, count + 2
    middle = (won - lost) / of
    half = _Z * np.sqrt(max(0.0, (won + lost) - (won - lost) ** 2 / of)) / of
    return Compared(
        pictures=count,
        old=float(old_right.mean()),
        new=float(new_right.mean()),
        gain=float(new_right.mean() - old_right.mean()),
        low=float(middle - half),
        high=float(middle + half),
        only_old=only_old,
        only_new=only_new,
        p_value=mcnemar(old_right, new_right),
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person is told. help: what would help, a sentence each."""

    kind: Kind
    sentence: str
    help: tuple[str, ...]

    @property
    def is_recommended(self) -> bool:
        """Whether the new model should take the place of the old one."""
        return self.kind == "better"


def judge(own: Compared, rehearsal: Compared, start: str, *, changed: bool) -> Verdict:
    """Decide by one's own pictures and the rehearsal.

    start: name of the old model. changed: whether anything was learnt at all.
    """
    points = f"{100 * abs(own.gain):.1f} points"
    interval = f"95 % interval {100 * own.low:+.1f} to {100 * own.high:+.1f}"
    shares = f"{100 * own.old:.1f} % right before, {100 * own.new:.1f} % after"
    of = f"on {own.pictures} pictures that it had not learnt from"
    forgets = rehearsal.gain < -FORGOTTEN
    if not changed:
        kind: Kind = "no different"
        told = (
            f"No different from {start}: nothing that it could learn makes it better on pictures "
            f"held out ({100 * own.old:.1f} % right). Keep {start}."
        )
    elif own.p_value >= SIGNIFICANT:
        kind = "no different"
        told = (
            f"No different from {start} {of}: {shares} ({interval} points, p = "
            f"{own.p_value:.2g}), which may be chance. Keep {start}."
        )
    elif own.gain < 0:
        kind = "worse"
        told = f"Worse than {start} by {points} {of}: {shares} ({interval}). Keep {start}."
    elif forgets:
        kind = "forgets"
        told = (
            f"Better than {start} by {points} {of}, but it forgets: {-100 * rehearsal.gain:.1f} "
            f"points worse on {rehearsal.pictures} pictures of other sources. Keep {start}, unless "
            f"you have none but pictures like these."
        )
    else:
        kind = "better"
        told = f"Better than {start} by {points} {of}: {shares} ({interval})."
    return Verdict(kind, told, ())


def advice(own: Compared, new_right: Bools, male: Bools, faceless: int) -> tuple[str, ...]:
    """What would help: more of what. faceless: pictures on which no face was found."""
    found = []
    wrong = ~new_right
    if own.old >= _LITTLE:
        found.append(
            f"The shipped model is right on {100 * own.old:.1f} % of these: little is to be gained."
        )
    if own.gain > 0 and own.p_value >= SIGNIFICANT:
        needed = own.pictures * (_needed_of(own))
        found.append(
            f"If the gain is real, about {_rounded(needed)} labelled pictures would show it."
        )
    of_male = float(male[wrong].mean()) if wrong.any() else 0.5
    if max(of_male, 1 - of_male) >= _LOPSIDED:
        name = "male" if of_male > 0.5 else "female"
        count = int((wrong & (male == (name == "male"))).sum())
        found.append(
            f"{count} of its {int(wrong.sum())} mistakes are of pictures labelled {name}: "
            f"more of these would help most."
        )
    if faceless > (own.pictures + faceless) / 10:
        found.append(
            f"On {faceless} pictures no face was found: they teach nothing. Larger "
            f"or sharper scans of them would."
        )
    if not found:
        found.append("More pictures of the kind that it gets wrong, of both classes, would help.")
    return tuple(found)


def _needed_of(own: Compared) -> float:
    """By how much more pictures the gain seen would stand out, by the normal approximation."""
    apart = own.only_new + own.only_old
    return float(apart * _Z**2 / (own.only_new - own.only_old) ** 2)


def _rounded(count: float) -> int:
    unit = 100 if count >= 1000 else 50
    return int(-(-count // unit) * unit)
