"""Evaluate a model file end to end: on whole photographs, which go the same way as in the service.

    python -m train.evaluation.photographs DATA PREPARED MODEL… [--split test] [--without SOURCE]

DATA has the photographs, as for `gdtrain prepare`, with a comma between several folders; PREPARED
is the prepared folder, which has their splits; MODEL is a model file, or a name that the setting
`model` takes. All photographs of a source named with --without are evaluated, since it was kept out
of training. Photographs of label `none` tell how often a model answers where nobody is.
"""

import argparse
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from gdwatch.decode.decoder import decode
from gdwatch.decode.formats import Refused
from gdwatch.decode.reduce import Pixels, Reduction, view
from gdwatch.inference import model, model_file
from gdwatch.inference.cascade import CascadePredictor
from gdwatch.inference.device import choose_device
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import layout
from gdwatch.inference.predictor import PlainPredictor, Predictor
from gdwatch.pipeline.decide import decide
from gdwatch.pipeline.engine_client import rules_of
from gdwatch.settings import load as load_settings
from gdwatch.values import Decision, Header, Scores
from train.data.prepare import LIMITS
from train.data.prepared_set import split_of_path, splits
from train.data.sources import CLASSES, NOBODY, Entry, entries
from train.evaluation.evaluate import age_band
from train.metrics import Floats, balanced_accuracy, expected_calibration_error

MIN_AGE = 10
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Seen:
    """A photograph as a worker of the service decodes it."""

    header: Header
    photo: Pixels


@dataclass(frozen=True, slots=True)
class Answered:
    """The scores of one photograph, and the decision by the model's own rules."""

    entry: Entry
    scores: Scores
    decision: Decision

    @property
    def right(self) -> bool:
        """Whether the predicted label is right, also where the outcome is `unsure`."""
        return self.decision.label == self.entry.label


def choose(
    data: Sequence[Path], prepared: Path, split: str, without: Collection[str] = ()
) -> list[Entry]:
    """The photographs of one split, without persons under `MIN_AGE`; those of nobody are included.

    without: sources that were kept out of training, of which all photographs are taken.

    Raises GdwatchError.
    """
    known = splits(prepared)
    return [
        entry
        for entry in entries(data)
        if entry.place is not None
        and (entry.age is None or entry.age >= MIN_AGE)
        and (entry.source in without or split_of_path(entry.path, known) == split)
    ]


def answers(models: Sequence[Model], chosen: Sequence[Entry]) -> Iterator[Answered]:
    """Classify photographs as the service does; those that cannot be decoded are left out.

    models: one, or the two of a cascade.
    """
    settings = load_settings({}, None).settings
    rules = [rules_of(settings, each.details) for each in models]
    plain = [
        PlainPredictor(
            each,
            choose_device("auto"),
            borders=(0.5, rule.min_confidence, 1 - rule.min_confidence),
        )
        for each, rule in zip(models, rules, strict=True)
    ]
    predictor: Predictor = plain[0] if len(plain) == 1 else CascadePredictor(*plain)
    for batch in batches(models, chosen):
        result = predictor.begin([seen.photo for _, seen in batch])()
        for (entry, seen), each in zip(batch, result.scores, strict=True):
            height, width = seen.photo.shape[:2]
            decision = decide(each, seen.header, (width, height), rules[each.model])
            yield Answered(entry, each, decision)


def batches(models: Sequence[Model], chosen: Sequence[Entry]) -> Iterator[list[tuple[Entry, Seen]]]:
    """The photographs as the engine gets them; those that cannot be decoded are left out."""
    wanted = layout([each.details for each in models], "face")
    for start in range(0, len(chosen), _BATCH):
        some = chosen[start : start + _BATCH]
        batch = [(each, seen) for each in some if (seen := _see(each, wanted)) is not None]
        if batch:
            yield batch


def _see(entry: Entry, wanted: Reduction) -> Seen | None:
    assert entry.place is not None
    try:
        header, seen = decode(
            entry.place.read(), LIMITS, partial(view, wanted=wanted), wanted.least
        )
    except (Refused, OSError):
        return None
    return Seen(header, seen)


def p_male(found: Sequence[Answered]) -> Floats:
    """The probability of `male` of each, (N,)."""
    return np.array([each.decision.p_male for each in found], dtype=np.float64)


def table(found: Sequence[Answered], title: str) -> Table:
    """By source, group and age: forced-choice accuracy, coverage, accuracy of the accepted."""
    shown = Table(title=title, box=SIMPLE_HEAD)
    shown.add_column("")
    for name in ("pictures", "balanced %", "accepted %", "right %", "no face %", "ECE %"):
        shown.add_column(name, justify="right")
    people = [each for each in found if each.entry.label in CLASSES]
    rows = [(f"source {name}", [each for each in people if each.entry.source == name])
            for name in sorted({each.entry.source for each in people})]  # fmt: skip
    shown.add_row(
        "mean of the sources", "", f"{100 * np.mean([_balanced(of) for _, of in rows]):.1f}"
    )
    rows.append(("all", people))
    rows += [(f"group {name}", [each for each in people if each.entry.group == name])
             for name in sorted({each.entry.group for each in people} - {""})]  # fmt: skip
    bands = {each.entry.path: age_band(each.entry.age) for each in people}
    rows += [(f"age {name}", [each for each in people if bands[each.entry.path] == name])
             for name in sorted(set(bands.values()) - {""})]  # fmt: skip
    for name, of in rows:
        shown.add_row(name, *_cells(of))
    nobody = [each for each in found if each.entry.label == NOBODY]
    if nobody:
        answered = np.mean([each.decision.outcome != "unsure" for each in nobody])
        faces = np.mean([each.decision.faces != 0 for each in nobody])
        shown.add_row("without people", str(len(nobody)), "", f"{100 * answered:.1f}", "",
                      f"{100 * (1 - faces):.1f}", "")  # fmt: skip
    return shown


def _balanced(found: Sequence[Answered]) -> float:
    male = np.array([each.entry.label == "male" for each in found])
    return balanced_accuracy(p_male(found) >= 0.5, male)


def _cells(found: Sequence[Answered]) -> list[str]:
    male = np.array([each.entry.label == "male" for each in found])
    sure = [each for each in found if each.decision.outcome != "unsure"]
    right = f"{100 * np.mean([each.right for each in sure]):.1f}" if sure else ""
    return [
        str(len(found)),
        f"{100 * _balanced(found):.1f}",
        f"{100 * len(sure) / len(found):.1f}",
        right,
        f"{100 * np.mean([each.decision.faces == 0 for each in found]):.1f}",
        f"{100 * expected_calibration_error(p_male(found), male):.1f}",
    ]


def main() -> None:
    """Print one table for each model."""
    parser = argparse.ArgumentParser(
        prog="python -m train.evaluation.photographs", description=__doc__
    )
    parser.add_argument("data", type=lambda text: [Path(each) for each in text.split(",")])
    parser.add_argument("prepared", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--split", default="test")
    parser.add_argument("--without", action="append", default=[])
    given = parser.parse_args()
    torch.set_num_threads(1)
    chosen = choose(given.data, given.prepared, given.split, given.without)
    console = Console(width=100)
    for name in given.models:
        models = [model.load(file) for file in model_file.read_models(name, "face")]
        shown = track(answers(models, chosen), name, len(chosen), console=Console(stderr=True))
        console.print(table(list(shown), f"{name}, split {given.split}"))


if __name__ == "__main__":
    main()
