"""The state of a training run, kept after every epoch, so that a stopped one goes on."""

import copy
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gdwatch.errors import GdwatchError
from gdwatch.network import ResidualClassifier
from train.recipe import Recipe

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Basis:
    """What a run is made from, and must not change while it lasts.

    data: digest of the prepared folder.
    mean, std: of its training pictures, in 0 to 1, RGB.
    """

    recipe: Recipe
    data: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Epoch:
    """How one epoch went.

    size: of the input, pixels; seconds: of wall time, validation included.
    """

    epoch: int
    size: int
    train_loss: float
    val_loss: float
    val_balanced_accuracy: float
    seconds: float


@dataclass(slots=True)
class Run:
    """A training run; `fit` changes it from epoch to epoch.

    average: the network with the running average of the weights, the one that is measured.
    best: the average's weights after the best epoch so far.
    """

    basis: Basis
    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor]
    history: list[Epoch]

    @property
    def best_epoch(self) -> Epoch:
        """The epoch that `best` is from: of equals the first."""
        return max(self.history, key=lambda epoch: epoch.val_balanced_accuracy)


def build(basis: Basis) -> nn.Module:
    """Make the recipe's network, untrained."""
    shape = basis.recipe.network
    return ResidualClassifier(
        stem=shape.stem, widths=shape.widths, blocks=shape.blocks, mean=basis.mean, std=basis.std
    ).to(memory_format=torch.channels_last)


def start(basis: Basis) -> Run:
    """Begin a run with random weights, the same ones for the same seed."""
    torch.manual_seed(basis.recipe.seed)
    network = build(basis)
    # Decay is for what multiplies; norms and biases would only be pulled off their place.
    decayed = [weight for weight in network.parameters() if weight.ndim > 1]
    others = [weight for weight in network.parameters() if weight.ndim == 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": basis.recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=basis.recipe.lr,
    )
    average = copy.deepcopy(network).eval()
    return Run(basis, network, average, optimizer, {}, [])


def save(run: Run, folder: Path) -> None:
    """Write the checkpoint, whole or not at all; only tensors, numbers and text are in it."""
    basis = run.basis
    content = {
        "recipe": basis.recipe.model_dump_json(),
        "data": basis.data,
        "mean": list(basis.mean),
        "std": list(basis.std),
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "best": run.best,
        "history": [
            [e.epoch, e.size, e.train_loss, e.val_loss, e.val_balanced_accuracy, e.seconds]
            for e in run.history
        ],
    }
    aside = folder / (CHECKPOINT + ".part")
    torch.save(content, aside)
    aside.replace(folder / CHECKPOINT)


def load(folder: Path) -> Run:
    """Read a run where its last epoch left it. Raises GdwatchError."""
    path = folder / CHECKPOINT
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True)
        basis = Basis(
            recipe=Recipe.model_validate(json.loads(content["recipe"])),
            data=content["data"],
            mean=tuple(content["mean"]),
            std=tuple(content["std"]),
        )
        run = start(basis)
        run.network.load_state_dict(content["network"])
        run.average.load_state_dict(content["average"])
        run.optimizer.load_state_dict(content["optimizer"])
        run.best = content["best"]
        run.history = [Epoch(*row) for row in content["history"]]
    except FileNotFoundError as error:
        raise GdwatchError(
            f"{folder}: no {CHECKPOINT} in it", "train with `gdtrain fit`"
        ) from error
    except (OSError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise GdwatchError(
            f"{path}: not a checkpoint of this gdtrain ({first})", "train into another folder"
        ) from error
    return run
