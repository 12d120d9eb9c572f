"""`gdwatch model`: print a model file's metadata, or verify the file."""

from typing import Any

from gdwatch.commands.output import print_json
from gdwatch.inference import model_file


def show(model: str, *, json_: bool) -> None:
    """Print a model file's name, version, SHA-256, measures and training data. Needs no torch.

    model: a path, or the name of a built-in model. Raises ActionNeeded.
    """
    file = model_file.read(model_file.find(model))
    answer: dict[str, Any] = {
        "file": str(file.path),
        "bytes": len(file.content),
        "sha256": file.sha256,
        **file.details.model_dump(mode="json"),
    }
    if json_:
        print_json(answer)
        return
    for name in ("file", "bytes", "sha256", "name", "version", "created", "classes"):
        print(f"{name:<15} {answer[name]}")
    for name in ("min_confidence", "temperature", "locator", "classifier"):
        print(f"{name:<15} {answer[name]}")
    for name in ("measures", "trained_on"):
        for key, value in answer[name].items():
            print(f"{name:<15} {key}: {value}")


def verify(model: str) -> None:
    """Check a model file against its architecture, and run it on one grey picture.

    Raises ActionNeeded.
    """
    file = model_file.read(model_file.find(model))
    import numpy as np
    import torch

    from gdwatch.inference.model import load
    from gdwatch.inference.predictor import PlainPredictor

    predictor = PlainPredictor(load(file), torch.device("cpu"), borders=(0.5,))
    predictor.test()
    (p_male,), _ = predictor.classify(
        np.full((1, predictor.side, predictor.side, 3), 128, np.uint8)
    )
    print(f"{file.path}: ok, {len(file.shapes)} tensors, {file.sha256}, grey gives {p_male:.4f}")
