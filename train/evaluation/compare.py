"""Compare two models on the same pictures, with McNemar's test."""

from dataclasses import dataclass

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from gdwatch.errors import UsageError
from gdwatch.inference.model import Model
from train.data.prepared_set import Prepared
from train.evaluation.evaluate import predict
from train.metrics import Bools, balanced_accuracy, mcnemar


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same pictures.

    balanced_accuracy: of each, 0 to 1.
    only_first, only_second: pictures that one model got right and the other wrong.
    p_value: of McNemar's exact test.
    """

    pictures: int
    balanced_accuracy: tuple[float, float]
    only_first: int
    only_second: int
    p_value: float


def compare(
    first: Model, second: Model, prepared: Prepared, split: str, min_age: int
) -> dict[str, Comparison]:
    """Compare by source, and on all pictures under `all`. Raises GdwatchError."""
    if first.sha256 == second.sha256:
        raise UsageError("both are the same model", "name two")
    one = predict(first, prepared, split, min_age)
    other = predict(second, prepared, split, min_age)
    sources = np.array([prepared.rows[row].source for row in one.rows])

    def among(some: Bools) -> Comparison:
        male, rights = one.male[some], (one.right[some], other.right[some])
        return Comparison(
            pictures=int(some.sum()),
            balanced_accuracy=(
                balanced_accuracy(rights[0] == male, male),
                balanced_accuracy(rights[1] == male, male),
            ),
            only_first=int((rights[0] & ~rights[1]).sum()),
            only_second=int((rights[1] & ~rights[0]).sum()),
            p_value=mcnemar(*rights),
        )

    by_source = {str(source): among(sources == source) for source in np.unique(sources)}
    return by_source | {"all": among(np.ones(len(sources), dtype=np.bool_))}


def table(comparisons: dict[str, Comparison], first: str, second: str) -> Table:
    """The comparison for a terminal."""
    shown = Table("source", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in ("pictures", first, second, f"only {first}", f"only {second}", "p"):
        shown.add_column(column, justify="right")
    for source, found in comparisons.items():
        shown.add_row(
            source,
            str(found.pictures),
            *(f"{100 * share:.1f}" for share in found.balanced_accuracy),
            str(found.only_first),
            str(found.only_second),
            f"{found.p_value:.2g}",
        )
    return shown
