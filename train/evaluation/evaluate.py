"""Evaluate a model on one split of a prepared folder: overall, by source, group and age."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.inference.device import choose_device
from gdwatch.inference.faces import Detection, Judgement, to_scores
from gdwatch.inference.model import Model
from gdwatch.pipeline.decide import Rules, decide
from gdwatch.pipeline.engine_client import rules_of
from gdwatch.settings import load as load_settings
from gdwatch.values import Box, Decision, Header, Scores
from train.data.prepared_set import SIDE, Indices, Prepared, Row
from train.data.sources import SPLITS
from train.fitting.judge import judge, view_of
from train.metrics import Bools, Confusion, Floats, Measures, measure

_AGES = ((18, "under 18"), (30, "18 to 29"), (50, "30 to 49"), (70, "50 to 69"))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measures on one split, overall and by the columns of the manifest, where these are not empty.

    min_age: in years; persons known to be younger were left out.
    min_confidence: the model's.
    """

    split: str
    min_age: int
    min_confidence: float
    overall: Measures
    by_source: dict[str, Measures]
    by_group: dict[str, Measures]
    by_age: dict[str, Measures]


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the service would decide with a model, with the labels.

    rows: (N,) of the prepared folder; p_male, male: (N,).
    sure: (N,), the confidence; 0 where the answer is `unsure` with any confidence, as without a
    face.
    """

    split: str
    min_age: int
    rows: Indices
    p_male: Floats
    sure: Floats
    male: Bools

    @property
    def right(self) -> Bools:
        """Which predictions are right, (N,)."""
        right: Bools = (self.p_male > 0.5) == self.male
        return right


def predict(model: Model, prepared: Prepared, split: str, min_age: int) -> Predictions:
    """Decide for the pictures of a split as the service does, each with one face at most.

    Raises GdwatchError if there are none, or not in the views that the model sees.
    """
    if split not in SPLITS:
        raise UsageError(f"split {split}: there is none", f"name one of {', '.join(SPLITS)}")
    details = model.details
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
    seen = prepared.in_view(view_of(details))
    rules = rules_of(load_settings({}, None).settings, details)
    judged = judge(model, seen, rows, choose_device("auto"))
    decisions = [_decide(seen, row, each, rules)
                 for row, each in zip(rows.tolist(), judged, strict=True)]  # fmt: skip
    p_male = np.array([each.p_male for each in decisions], dtype=np.float64)
    sure = np.array(
        [each.confidence if each.reason in (None, "low_confidence") else 0.0 for each in decisions],
        dtype=np.float64,
    )
    return Predictions(split, min_age, rows, p_male, sure, seen.is_male()[rows])


def _decide(prepared: Prepared, row: int, judged: Judgement, rules: Rules) -> Decision:
    """What the service decides of a photograph whose only face, if any, is the one cut out."""
    of = prepared.rows[row]
    scores = Scores(judged.p_male, p_nobody=judged.p_nobody)
    if prepared.crops:
        crop = prepared.crop(row)
        box = Box(crop.x, crop.y, crop.width, crop.height)
        found = [Detection(box, crop.score, crop.tilt)] if crop.size else []
        (scores,) = to_scores([len(found)], [found], [judged])
    return decide(scores, Header(of.width, of.height, ""), (of.width, of.height), rules)


def evaluate(model: Model, prepared: Prepared, split: str, min_age: int) -> Evaluation:
    """Evaluate a model on a split. Raises GdwatchError if that has no pictures."""
    predictions = predict(model, prepared, split, min_age)
    return evaluate_predictions(predictions, prepared, model.details.min_confidence)


def evaluate_predictions(
    predictions: Predictions, prepared: Prepared, min_confidence: float
) -> Evaluation:
    """Evaluate predictions overall, by source, group and age."""
    p_male, sure, male = predictions.p_male, predictions.sure, predictions.male

    def among(some: Bools) -> Measures:
        return measure(p_male[some], male[some], min_confidence, sure[some])

    def by(key: Callable[[Row], str]) -> dict[str, Measures]:
        names = np.array([key(prepared.rows[row]) for row in predictions.rows])
        return {str(name): among(names == name) for name in np.unique(names) if name}

    return Evaluation(
        split=predictions.split,
        min_age=predictions.min_age,
        min_confidence=min_confidence,
        overall=among(np.ones(len(male), dtype=np.bool_)),
        by_source=by(lambda row: row.source),
        by_group=by(lambda row: row.group),
        by_age=_in_order(by(lambda row: age_band(row.age))),
    )


def tables(evaluation: Evaluation) -> list[Table]:
    """The tables for a terminal: by source, group and age; confusion matrix; coverage."""
    overall = {"all": evaluation.overall}
    return [
        _table("source", evaluation.by_source | overall),
        *(
            _table(name, parts)
            for name, parts in (("group", evaluation.by_group), ("age", evaluation.by_age))
            if parts
        ),
        _confusion(evaluation.overall.confusion),
        _coverage(evaluation),
    ]


COLUMNS = (
    "pictures",
    "balanced",
    "95 %",
    "accuracy",
    "AUC",
    "ECE",
    "accepted",
    "right",
)


def cells(measures: Measures) -> list[str]:
    """The measures as text, in the order of COLUMNS, in per cent."""
    low, high = measures.balanced_interval
    return [
        str(measures.pictures),
        _percent(measures.balanced_accuracy),
        f"{_percent(low)}-{_percent(high)}",
        _percent(measures.accuracy),
        _percent(measures.roc_auc),
        _percent(measures.expected_calibration_error),
        _percent(measures.coverage),
        _percent(measures.accepted_accuracy),
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _table(name: str, parts: Mapping[str, Measures]) -> Table:
    shown = Table(name, box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in COLUMNS:
        shown.add_column(column, justify="right")
    for part, measures in parts.items():
        shown.add_row(part, *cells(measures), end_section=part == "all")
    return shown


def _confusion(counts: Confusion) -> Table:
    shown = Table(
        "label", "said female", "said male", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    shown.add_row("female", str(counts.female_as_female), str(counts.female_as_male))
    shown.add_row("male", str(counts.male_as_female), str(counts.male_as_male))
    return shown


def _coverage(evaluation: Evaluation) -> Table:
    shown = Table(
        "min_confidence", "accepted", "right", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for point in evaluation.overall.curve:
        if round(point.min_confidence * 100) % 5 == 0 or point.min_confidence > 0.97:
            shown.add_row(
                f"{point.min_confidence:.3f}", _percent(point.coverage), _percent(point.accuracy)
            )
    return shown


def age_band(age: int | None) -> str:
    """The name of an age's band; empty for none."""
    if age is None:
        return ""
    return next((name for below, name in _AGES if age < below), "70 and over")


def _in_order(by_age: dict[str, Measures]) -> dict[str, Measures]:
    order = [*(name for _, name in _AGES), age_band(_AGES[-1][0])]
    return {name: by_age[name] for name in order if name in by_age}
