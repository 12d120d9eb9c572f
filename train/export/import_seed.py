"""Convert a `model.pt` of the program that gdwatch replaces into a model file."""

import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gdwatch.errors import GdwatchError
from gdwatch.inference import model, model_file
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import Details, ModelFile, Network, Preprocessing
from gdwatch.networks.seed_classifier import SeedClassifier
from train.atomic_files import make_folder
from train.fitting import recipe as recipes


def import_seed(old: Path, file: Path) -> ModelFile:
    """Write a state dict of the seed network as a model file.

    The model accepts every answer (`min_confidence` 0.5), as the old program did. It is not
    measured: `gdtrain evaluate` does that.

    Raises GdwatchError if `old` is not such a state dict.
    """
    weights = _read(old)
    recipe = recipes.read("seed")
    assert recipe.mean is not None  # it stands in seed.toml
    assert recipe.std is not None
    network = SeedClassifier(**recipe.arguments, mean=recipe.mean, std=recipe.std)
    try:
        network.load_state_dict(_renamed(weights, network))
    except (RuntimeError, KeyError) as error:
        first = str(error).splitlines()[-1].strip()
        raise _refused(old, f"not the seed network ({first})") from error
    details = Details(
        format=1,
        name="seed",
        version="1",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        locator=None,
        classifier=Network(arch="seed", arguments=recipe.arguments, input=recipe.input),
        preprocessing=Preprocessing(mean=recipe.mean, std=recipe.std),
        temperature=1.0,
        min_confidence=0.5,
        classes=("female", "male"),
        trained_on={"imported": old.name},
        measures={},
        recipe={},
    )
    make_folder(file.parent)
    model.save(file, Model(None, network, details, ""))
    return model_file.read(file)


def _read(old: Path) -> dict[str, Tensor]:
    try:
        found: Any = torch.load(old, weights_only=True, map_location="cpu")
    except FileNotFoundError as error:
        raise GdwatchError(f"{old}: no such file", "name the old model.pt") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise _refused(old, f"no state dict ({first})") from error
    if not isinstance(found, dict) or not all(isinstance(x, Tensor) for x in found.values()):
        raise _refused(old, "no state dict")
    return found


def _renamed(weights: dict[str, Tensor], network: SeedClassifier) -> dict[str, Tensor]:
    """The old names are conv1, conv2, …, fc1, fc2, in the order of the layers."""
    convolutions = [
        f"features.{place}"
        for place, layer in enumerate(network.features)
        if isinstance(layer, nn.Conv2d)
    ]
    names = {f"conv{number}": name for number, name in enumerate(convolutions, 1)}
    names |= {"fc1": "hidden.2", "fc2": "head"}
    renamed = {}
    for name, tensor in weights.items():
        layer, _, kind = name.rpartition(".")
        renamed[f"{names[layer]}.{kind}"] = tensor
    return renamed


def _refused(old: Path, why: str) -> GdwatchError:
    return GdwatchError(f"{old}: {why}", "name a model.pt of the old program")
