"""Write the model card: what the model is for, what it was trained on, and its measures."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gdwatch.inference.model_file import Details
from train.evaluation.evaluate import COLUMNS, Evaluation, cells
from train.export.provenance import table
from train.metrics import Measures

_FEW = 30  # a share of fewer pictures says little
_TEXT = """\
# Model {name} {version}

{network}; input {input} by {input} pixels, {seen}.
Made {created} by `gdtrain export`. Answers `female` or `male` with a probability
(temperature {temperature:.3f}); one below a confidence of {min_confidence:.4f} is `unsure`.

## What it is for, and what not

It guesses the apparent gender of the one face in a photograph. It knows nothing of identity
or of how a person sees themselves, and must decide nothing about anybody.

- Not for children under {min_age}: not even a person can tell, and none was learnt from.
{limits}
- The labels are what someone wrote down about a picture, and some of them are wrong.

## What it learnt from

Pictures by source and split; all pictures of a person known by name, and all copies of a
photograph, are in one split.

{trained_on}

No picture is in the model file. Under which terms the pictures may be used, `gdtrain` cannot know:
whoever passes this model on must write it here.

## Whose weights took part

{weights}

## How good it is

On the split `{split}`, which nothing was chosen by, in per cent. "balanced" is the mean of the
two classes' recall, "95 %" its interval by bootstrap, "ECE" the expected calibration error,
"accepted" the share that is not unsure, "right" the accuracy of that share. Persons without a
name in the data may stand in this split and in what was learnt: expect a little less elsewhere.

{by_source}

{by_group}

{by_age}

## Where it is worse

{worse}
"""

_WHOLE = """\
- Not for groups, whole bodies or small faces: the whole picture is squeezed into the square,
  so only face crops are judged well.
- A picture without a face gets an answer too, and not always an unsure one."""
_FACES = """\
- Not for people whose face is not seen: where the locator finds none, the answer is `unsure`.
- What the locator misses, this model never sees: its errors are not in the measures below."""


def card(details: Details, evaluation: Evaluation) -> str:
    """The model card as Markdown."""
    network = details.classifier
    arguments = ", ".join(f"{name} {value}" for name, value in network.arguments.items())
    return _TEXT.format(
        name=details.name,
        version=details.version,
        network=f"`{network.arch}` ({arguments})",
        input=network.input,
        created=details.created,
        temperature=details.temperature,
        min_confidence=details.min_confidence,
        min_age=evaluation.min_age,
        trained_on=_counts(details.trained_on["pictures"]),
        seen=_seen(details),
        limits=_WHOLE if details.locator is None else _FACES,
        weights=table(details.trained_on["weights"]),
        split=evaluation.split,
        by_source=_measures("source", {**evaluation.by_source, "**all**": evaluation.overall}),
        by_group=_measures("group", evaluation.by_group),
        by_age=_measures("age", evaluation.by_age),
        worse=_worse(evaluation),
    )


def measures(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation for the model file, rounded to four digits, more than are significant."""
    rounded: dict[str, Any] = json.loads(
        json.dumps(asdict(evaluation)), parse_float=lambda text: round(float(text), 4)
    )
    parts = [rounded["overall"]]
    for kind in ("by_source", "by_group", "by_age"):
        parts += rounded[kind].values()
    for part in parts:
        del part["curve"]  # `gdtrain evaluate --json` has it
    return rounded


def _seen(details: Details) -> str:
    if details.locator is None:
        return "the whole picture squeezed into the square"
    margin = details.preprocessing.margin
    return f"a square around each face, {margin} times as long as its longer side"


def _counts(pictures: Mapping[str, Mapping[str, int]]) -> str:
    lines = ["| source | train | val | test |", "| --- | --: | --: | --: |"]
    lines += [
        f"| {source} | {counts['train']} | {counts['val']} | {counts['test']} |"
        for source, counts in pictures.items()
    ]
    return "\n".join(lines)


def _measures(what: str, parts: Mapping[str, Measures]) -> str:
    if not parts:
        return f"The data name no {what}."
    lines = [f"| {what} | {' | '.join(COLUMNS)} |", "| --- |" + " --: |" * len(COLUMNS)]
    lines += [f"| {name} | {' | '.join(cells(part))} |" for name, part in parts.items()]
    return "\n".join(lines)


def _worse(evaluation: Evaluation) -> str:
    named = {
        f"{kind} {name}": part
        for kind, parts in (
            ("source", evaluation.by_source),
            ("group", evaluation.by_group),
            ("age", evaluation.by_age),
        )
        for name, part in parts.items()
        if part.pictures >= _FEW
        and part.balanced_accuracy < evaluation.overall.balanced_accuracy - 0.02
    }
    if not named:
        return f"Nowhere by more than 2 points, where {_FEW} pictures or more are known."
    return "\n".join(
        f"- {name}: {100 * part.balanced_accuracy:.1f} % balanced, of {part.pictures} pictures"
        for name, part in sorted(named.items(), key=lambda item: item[1].balanced_accuracy)
    )
