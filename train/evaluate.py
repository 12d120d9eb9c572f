"""How good a model file is on one split of a prepared folder, as a whole and by kinds."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from gdwatch.errors import GdwatchError
from gdwatch.model_file import Details
from gdwatch.network import Classifier
from train.judge import logits
from train.measures import Bools, Floats, Measures, measure, probabilities
from train.pictures import SIDE, Prepared, Row

_AGES = ((18, "under 18"), (30, "18 to 29"), (50, "30 to 49"), (70, "50 to 69"))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measures on one split, overall and by the manifest's columns; rows without one are left out.

    min_age: in years; persons known to be younger were left out.
    """

    split: str
    min_age: int
    overall: Measures
    by_source: dict[str, Measures]
    by_group: dict[str, Measures]
    by_age: dict[str, Measures]


def evaluate(
    classifier: Classifier, details: Details, prepared: Prepared, split: str, min_age: int
) -> Evaluation:
    """Judge a model by a split. Raises GdwatchError if that holds no picture."""
    rows = prepared.select(split, min_age)
    if len(rows) == 0:
        raise GdwatchError(
            f"{prepared.folder}: split {split} is empty", "prepare more pictures, or name another"
        )
    size = details.classifier.input
    if size > SIDE:
        raise GdwatchError(
            f"model {details.name}: takes {size} pixels, prepared pictures have {SIDE}",
            "evaluate a smaller model",
        )
    p_male = probabilities(logits(classifier, prepared, rows, size), details.temperature)
    male = prepared.is_male()[rows]

    def by(key: Callable[[Row], str]) -> dict[str, Measures]:
        names = np.array([key(prepared.rows[row]) for row in rows])
        return _by(names, p_male, male, details.min_confidence)

    return Evaluation(
        split=split,
        min_age=min_age,
        overall=measure(p_male, male, details.min_confidence),
        by_source=by(lambda row: row.source),
        by_group=by(lambda row: row.group),
        by_age=by(lambda row: _age_band(row.age)),
    )


def table(evaluation: Evaluation) -> Table:
    """The evaluation for a terminal: a line for each source, and one for all."""
    shown = Table("source")
    for column in COLUMNS:
        shown.add_column(column, justify="right")
    for source, measures in evaluation.by_source.items():
        shown.add_row(source, *cells(measures))
    shown.add_section()
    shown.add_row("all", *cells(evaluation.overall))
    return shown


COLUMNS = ("pictures", "balanced", "accuracy", "ECE", "coverage", "accepted right")


def cells(measures: Measures) -> list[str]:
    """The measures as text, in the order of COLUMNS; shares in per cent."""
    shares = (
        measures.balanced_accuracy,
        measures.accuracy,
        measures.expected_calibration_error,
        measures.coverage,
        measures.accepted_accuracy,
    )
    return [str(measures.pictures)] + ["-" if x is None else f"{100 * x:.1f}" for x in shares]


def _by(
    names: np.ndarray[tuple[int], np.dtype[np.str_]],
    p_male: Floats,
    male: Bools,
    min_confidence: float,
) -> dict[str, Measures]:
    return {
        str(name): measure(p_male[names == name], male[names == name], min_confidence)
        for name in np.unique(names)
        if name
    }


def _age_band(age: int | None) -> str:
    if age is None:
        return ""
    return next((name for below, name in _AGES if age < below), "70 and over")
