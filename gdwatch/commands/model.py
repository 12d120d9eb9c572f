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
    """Print what a person asks first; `--json` has the rest."""
    trained_on = answer["trained_on"]
    measures = answer["measures"].get("overall", answer["measures"])
    networks = [f"{name} {answer[name]['arch']} {answer[name]['input']} px"
                for name in ("locator", "closer", "classifier") if answer.get(name)]  # fmt: skip
    lines = {
        "model": f"{answer['name']} {answer['version']}, of {answer['created'][:10]}",
        "file": f"{answer['file']}, {answer['bytes'] / 1e6:.1f} MB",
        "sha256": answer["sha256"],
        "answers": f"{' or '.join(answer['classes'])}; below {answer['min_confidence']:.3f} unsure",
        "networks": ", ".join(networks),
        "trained on": _count(trained_on.get("pictures")),
        "tested on": _count(measures.get("pictures")),
        "right": _share(
            measures.get("balanced_accuracy"), "balanced, of all that it was tested on"
        ),
        "accepted": _share(measures.get("coverage"), "the others are unsure"),
        "of these": _share(measures.get("accepted_accuracy"), "right"),
    }
    for name, text in lines.items():
        print(f"{name:<11} {text}")


def _count(pictures: object) -> str:
    """A number of pictures, which some models give by source and split."""
    match pictures:
        case int():
            return f"{pictures:,} pictures"
        case {"train": int(count)}:
            return f"{count:,} pictures"
        case Mapping():
            trained = [each.get("train", 0) for each in pictures.values()]
            return f"{sum(trained):,} pictures of {len(trained)} sources"
    return "not told"


def _share(value: float | None, of: str) -> str:
    return "not told" if value is None else f"{value:.1%}, {of}"


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
