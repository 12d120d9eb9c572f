"""The checkpoint of a locator's training run, and the locator that it has trained."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.inference import model, model_file
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import Network
from gdwatch.networks.folding import fold
from gdwatch.networks.locator import Locator
from train import checkpoint_file
from train.checkpoint_file import DAMAGED
from train.detection.locator_recipe import LocatorRecipe

CHECKPOINT = "locator.pt"


@dataclass(slots=True)
class LocatorRun:
    """The state of a training run.

    average: the locator with the exponential moving average of the weights, which is measured.
    losses: mean loss of each epoch so far.
    """

    recipe: LocatorRecipe
    network: Locator
    average: Locator
    optimizer: torch.optim.Optimizer
    losses: list[float]


def start(recipe: LocatorRecipe) -> LocatorRun:
    """Begin a run with random weights, the same ones for the same seed."""
    torch.manual_seed(recipe.seed)
    network = Locator(**recipe.network.model_dump(), threshold=recipe.threshold)
    network = network.to(memory_format=torch.channels_last)
    # Faces are rare: the bias begins at that prior (Lin et al. 2017, arXiv:1708.02002).
    network.out.bias = nn.Parameter(torch.tensor([-3.0] + [0.0] * (network.out.out_channels - 1)))
    optimizer = torch.optim.AdamW(network.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    return LocatorRun(recipe, network, copy.deepcopy(network).eval(), optimizer, [])


def save(run: LocatorRun, out: Path) -> None:
    """Write the checkpoint. Raises GdwatchError; the checkpoint before is intact then."""
    content = {
        "recipe": run.recipe.model_dump_json(),
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "losses": run.losses,
    }
    checkpoint_file.write(content, out / CHECKPOINT)


def resume(recipe: LocatorRecipe, out: Path) -> LocatorRun:
    """Go on with the run in `out`, or begin one. Raises GdwatchError."""
    if not (out / CHECKPOINT).exists():
        return start(recipe)
    run = _read(out)
    if run.recipe != recipe:
        raise GdwatchError(
            f"{out / CHECKPOINT}: made with another recipe", "train into another folder"
        )
    return run


def load(path: Path) -> tuple[Locator, Network]:
    """Load a locator from a run's folder or a model file, with its entry for a model file.

    path: of these, or the name of a shipped model.

    It is in evaluation mode on the CPU, batch norm folded. Raises GdwatchError.
    """
    if not path.is_dir():
        loaded = _model(path)
        if loaded.locator is None or loaded.details.locator is None:
            raise UsageError(f"{path}: a model without a locator", "name another one")
        return loaded.locator, loaded.details.locator
    run = _read(path)
    fold(run.average)
    arguments = run.recipe.network.model_dump() | {
        "threshold": run.recipe.threshold,
        "folded": True,
    }
    return run.average, Network(arch="pyramid", arguments=arguments, input=run.recipe.input)


def load_looks(first: Path, closer: Path | None) -> list[tuple[Locator, Network]]:
    """Load the locator of the first look and, where there is one, that of the closer look.

    first, closer: as for `load`; a model file may have both.

    Raises GdwatchError.
    """
    looks = [load(first)]
    if closer is not None:
        looks.append(load(closer))
    elif not first.is_dir():
        loaded = _model(first)
        if loaded.closer is not None and loaded.details.closer is not None:
            looks.append((loaded.closer, loaded.details.closer))
    return looks


def _model(path: Path) -> Model:
    return model.load(model_file.read(model_file.find(str(path))))


def _read(folder: Path) -> LocatorRun:
    path = folder / CHECKPOINT
    try:
        content = checkpoint_file.read(path)
        run = start(LocatorRecipe.model_validate_json(content["recipe"]))
        run.network.load_state_dict(content["network"])
        run.average.load_state_dict(content["average"])
        run.optimizer.load_state_dict(content["optimizer"])
        run.losses = content["losses"]
    except DAMAGED as error:
        raise GdwatchError(
            f"{path}: not a run of `gdtrain locate` ({checkpoint_file.reason(error)})",
            "train into another folder",
        ) from error
    return run
