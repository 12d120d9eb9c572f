"""How often the teachers are right about faces that they have not learnt from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from rich.table import Table

from train.data.prepared_set import Prepared
from train.metrics import Bools, balanced_accuracy
from train.teachers.embed import Embedded
from train.teachers.teach import Answers

_SIZES = (16, 24, 40, 80)  # pixels of the longer side; faces between two of them count together


@dataclass(frozen=True, slots=True)
class Measured:
    """Balanced accuracy of each teacher on some faces, 0 to 1; fewest: of the rarer class."""

    name: str
    count: int
    fewest: int
    face: float
    surroundings: float
    fused: float


def measure(
    prepared: Prepared, embedded: Embedded, answers: Answers, min_age: int
) -> list[Measured]:
    """Compare the answers for main faces with the labels: of all, by source, and by size.

    min_age: persons who are known to be younger are left out.
    """
    rows = {row.path: row for row in prepared.rows if row.age is None or row.age >= min_age}
    faces = [number for number, seen in enumerate(embedded.seen)
             if seen.main and seen.path in rows]  # fmt: skip
    of = [rows[embedded.seen[number].path] for number in faces]
    male = np.array([row.label == "male" for row in of], dtype=np.bool_)
    source = np.array([row.source for row in of])
    band = np.digitize([embedded.seen[number].size for number in faces], _SIZES)
    parts: dict[str, Bools] = {"all": np.ones(len(of), np.bool_)}
    parts |= {f"source {name}": source == name for name in sorted(set(source.tolist()))}
    parts |= {name: band == number for number, name in enumerate(_bands())}
    return [
        Measured(
            name,
            int(part.sum()),
            int(min(male[part].sum(), (~male[part]).sum())),
            *(balanced_accuracy(said[faces][part] > 0, male[part])
              for said in (answers.face, answers.surroundings, answers.fused)),
        )
        for name, part in parts.items() if part.any()
    ]  # fmt: skip


def _bands() -> list[str]:
    between = [f"face of {one} to {two} px" for one, two in pairwise(_SIZES)]
    return [f"face below {_SIZES[0]} px", *between, f"face from {_SIZES[-1]} px"]


def table(measured: Sequence[Measured]) -> Table:
    """The measures as a table, in per cent."""
    shown = Table(title="answers out of fold, balanced accuracy in per cent")
    shown.add_column("main faces")
    for column in ("count", "of the rarer class", "face", "surroundings", "fused"):
        shown.add_column(column, justify="right")
    for each in measured:
        shares = (f"{100 * share:.1f}" for share in (each.face, each.surroundings, each.fused))
        shown.add_row(each.name, str(each.count), str(each.fewest), *shares)
    return shown
