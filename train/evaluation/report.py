"""Write the HTML report of a model: measures, curves, and its worst mistakes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from gdwatch.inference.model import Model
from train import html_page
from train.data.prepared_set import Prepared
from train.evaluation import plots
from train.evaluation.evaluate import COLUMNS, Predictions, cells, evaluate_predictions, predict
from train.evaluation.judged_set import described
from train.fitting.judge import view_of
from train.metrics import Measures, accepted

_WORST = 50


def report(model: Model, prepared: Prepared, split: str, min_age: int, file: Path) -> None:
    """Write the page. Raises GdwatchError."""
    predictions = predict(model, prepared, split, min_age)
    details = model.details
    prepared = prepared.in_view(view_of(details))
    evaluation = evaluate_predictions(predictions, prepared, details.min_confidence)
    html_page.write(
        file,
        "report.html",
        name=details.name,
        version=details.version,
        sha256=model.sha256,
        split=split,
        judged=described(prepared, details),
        min_age=min_age,
        min_confidence=details.min_confidence,
        overall=evaluation.overall,
        columns=COLUMNS,
        parts={
            "source": _lines(evaluation.by_source | {"all": evaluation.overall}),
            "group": _lines(evaluation.by_group),
            "age": _lines(evaluation.by_age),
        },
        plots=[Markup(plot) for plot in _plots(model, predictions, evaluation.overall)],
        worst=_worst(prepared, predictions),
    )


def _plots(model: Model, predictions: Predictions, overall: Measures) -> list[str]:
    details = model.details
    chosen = accepted(predictions.right, predictions.sure, details.min_confidence)
    drawn = [
        plots.reliability(predictions.p_male, predictions.male),
        plots.coverage(overall.curve, details.min_confidence, chosen),
    ]
    if overall.roc_auc is not None:
        drawn.insert(0, plots.roc(predictions.p_male, predictions.male))
    history = details.trained_on.get("history")
    if history:
        drawn.append(plots.training(history))
    return drawn


def _lines(parts: Mapping[str, Measures]) -> dict[str, list[str]]:
    return {name: cells(measures) for name, measures in parts.items()}


def _worst(prepared: Prepared, predictions: Predictions) -> list[dict[str, Any]]:
    """The mistakes with the highest confidence."""
    wrong = np.flatnonzero(~predictions.right)
    surest = wrong[np.argsort(-predictions.sure[wrong], kind="stable")][:_WORST]
    found = []
    for place in surest.tolist():
        row = prepared.rows[predictions.rows[place]]
        p_male = predictions.p_male[place]
        found.append(
            {
                "picture": html_page.thumbnail(prepared.pixels(predictions.rows[[place]])[0]),
                "label": row.label,
                "said": f"{'male' if p_male > 0.5 else 'female'} "
                f"{100 * max(p_male, 1 - p_male):.1f} %",
                "path": row.path,
            }
        )
    return found
