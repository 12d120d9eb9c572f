"""`gdwatch model`: print a model file's metadata, or verify the file."""

from collections.abc import Mapping
from typing import Any

from gdwatch.commands.output import print_json
from gdwatch.inference import model_file
from gdwatch.inference.model_file import ModelFile


def show(model: str, *, json_: bool) -> None:
    """Print a model file's name, version, SHA-256, measures and training data. Needs no torch.

    model: a path, or the name of a built-in model. Raises ActionNeeded.
    """
    answers = [_answer(file) for file in model_file.read_models(model, "face")]
    if json_:
        print_json(answers[0] if len(answers) == 1 else {"cascade": answers})
        return
    for number, answer in enumerate(answers):
        print("\n" if number else "", end="")
        _print(answer)


def _answer(file: ModelFile) -> dict[str, Any]:
    return {
        "file": str(file.path),
        "bytes": len(file.content),
        "sha256": file.sha256,
        **file.details.model_dump(mode="json"),
    }


def _print(answer: Mapping[str, Any]) -> None:
    for name in ("file", "bytes", "sha256", "name", "version", "created", "classes"):
        print(f"{name:<15} {answer[name]}")
    for name in ("min_confidence", "temperature", "locator", "closer", "classifier"):
        print(f"{name:<15} {answer[name]}")
    for name in ("measures", "trained_on"):
        for key, value in answer[name].items():
            print(f"{name:<15} {key}: {value}")


def verify(model: str) -> None:
    """Check a model file against its architecture, and run it on one grey picture.

    model: as for `show`. Raises ActionNeeded.
    """
    files = model_file.read_models(model, "face")
    import numpy as np
    import torch

    from gdwatch.inference.model import load
    from gdwatch.inference.predictor import PlainPredictor

    for file in files:
        predictor = PlainPredictor(load(file), torch.device("cpu"), borders=(0.5,))
        predictor.test()
        grey = np.full((1, predictor.side, predictor.side, 3), 128, np.uint8)
        (judged,), _ = predictor.classify(grey)
        print(
            f"{file.path}: ok, {len(file.shapes)} tensors, {file.sha256}, "
            f"grey gives {judged.p_male:.4f}"
        )
