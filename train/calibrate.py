"""Calibrate a model file on whole photographs, and write into it how good it is on others.

    python -m train.calibrate MODEL DATA PREPARED [--without SOURCE] [--accuracy 0.987]

The temperature and `min_confidence` are chosen on the split `val`, located, cropped and decided as
in the service, by the labels as they stand; only then is the split `test` looked at. DATA, PREPARED
and --without are as for `train.photographs`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from gdwatch import model, model_file
from gdwatch.model import Model
from gdwatch.model_file import Details
from train.measures import (
    balanced_accuracy,
    choose_threshold,
    expected_calibration_error,
    fit_temperature,
    probabilities,
)
from train.photographs import Answered, answers, choose, p_male, table
from train.sources import CLASSES

_LEAST = 1e-7  # a probability's distance from 0 and 1, so that it has a logit


def calibrated(loaded: Model, found: Sequence[Answered], accuracy: float) -> Details:
    """Choose temperature and min_confidence by photographs on which a face was found.

    accuracy: wanted of those that are not unsure, 0.5 to 1.
    """
    faces = [each for each in found if each.entry.label in CLASSES and each.decision.faces]
    male = np.array([each.entry.label == "male" for each in faces])
    said = p_male(faces).clip(_LEAST, 1 - _LEAST)
    logits = np.log(said / (1 - said)) * loaded.details.temperature
    temperature = fit_temperature(logits, male)
    threshold = choose_threshold(probabilities(logits, temperature), male, accuracy)
    return loaded.details.model_copy(
        update={
            "temperature": round(temperature, 4),
            "min_confidence": round(threshold.min_confidence, 4),
        }
    )


def measures(found: Sequence[Answered]) -> dict[str, Any]:
    """What the model file says of itself: shares to four digits."""
    people = [each for each in found if each.entry.label in CLASSES]
    male = np.array([each.entry.label == "male" for each in people])
    said = p_male(people)
    sources = np.array([each.entry.source for each in people])
    by_source = {
        str(source): balanced_accuracy(said[sources == source] >= 0.5, male[sources == source])
        for source in np.unique(sources)
    }
    sure = [each for each in people if each.decision.outcome != "unsure"]
    numbers: dict[str, float] = {
        "mean_of_sources": float(np.mean(list(by_source.values()))),
        "balanced_accuracy": balanced_accuracy(said >= 0.5, male),
        "expected_calibration_error": expected_calibration_error(said, male),
        "coverage": len(sure) / len(people),
        "accepted_accuracy": float(np.mean([each.right for each in sure])),
    }
    return {
        "split": "test",
        "pictures": len(people),
        **{name: round(value, 4) for name, value in numbers.items()},
        "by_source": {source: round(float(value), 4) for source, value in by_source.items()},
    }


def main() -> None:
    """Rewrite the model file, and print its table."""
    parser = argparse.ArgumentParser(prog="python -m train.calibrate", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("--accuracy", type=float, default=0.987)
    given = parser.parse_args()
    torch.set_num_threads(1)
    loaded = model.load(model_file.read(given.model))
    held_back = [
        entry
        for entry in choose([given.data], given.prepared, "val")
        if entry.source not in given.without
    ]
    details = calibrated(loaded, list(answers(loaded, held_back)), given.accuracy)
    loaded = Model(loaded.locator, loaded.classifier, details, "")
    chosen = choose([given.data], given.prepared, "test", given.without)
    found = list(answers(loaded, chosen))
    details = details.model_copy(update={"measures": measures(found)})
    model.save(given.model, loaded.classifier, details, loaded.locator, torch.float16)
    shown = Console(width=100)
    shown.print(f"temperature {details.temperature}\nmin_confidence {details.min_confidence}")
    shown.print(table(found, f"{details.name} {details.version}, split test"))


if __name__ == "__main__":
    main()
