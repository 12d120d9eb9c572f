"""The state of a training run, kept after every epoch, so that a stopped one goes on."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gdwatch.errors import GdwatchError
from gdwatch.networks.classifier import Classifier
from gdwatch.networks.registry import ARCHITECTURES
from train import checkpoint_file
from train.checkpoint_file import DAMAGED
from train.fitting.recipe import Colour, Recipe

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Basis:
    """What a run is made from, and must not change while it lasts.

    data: digest of the prepared folder's manifest.
    teacher: SHA-256 of the model file that teaches, empty without one.
    tutor: SHA-256 of the model file of the tutor, empty without one.
    start: SHA-256 of the published weights that it began with, empty without them.
    mean, std: for the network, in 0 to 1, RGB.
    """

    recipe: Recipe
    data: str
    teacher: str
    tutor: str
    start: str
    mean: Colour
    std: Colour


@dataclass(frozen=True, slots=True)
class Epoch:
    """How one epoch went.

    size: of the input, pixels, also of what is measured; seconds: of wall time, all included.
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
    scaler: of the gradients in half precision; does nothing on a CPU.
    best: the average's weights after the best epoch so far, on the CPU.
    """

    basis: Basis
    network: Classifier
    average: Classifier
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    best: dict[str, Tensor]
    history: list[Epoch]

    @property
    def best_epoch(self) -> Epoch:
        """The epoch that `best` is from: of the last size that was learnt; of equals the first."""
        size = self.history[-1].size  # a network is used with the size that it was trained with
        measured = [epoch for epoch in self.history if epoch.size == size]
        if self.basis.recipe.best_by == "loss":
            return min(measured, key=lambda epoch: epoch.val_loss)
        return max(measured, key=lambda epoch: epoch.val_balanced_accuracy)

    def to(self, device: torch.device) -> None:
        """Move everything that learns to a device."""
        self.network.to(device)
        self.average.to(device)
        # Loading its own state casts it to where the weights are.
        self.optimizer.load_state_dict(self.optimizer.state_dict())


def build(basis: Basis) -> Classifier:
    """Make the recipe's network, untrained."""
    recipe = basis.recipe
    architecture = ARCHITECTURES[recipe.network.arch]
    return architecture(**recipe.arguments, mean=basis.mean, std=basis.std).to(
        memory_format=torch.channels_last
    )


def start(basis: Basis) -> Run:
    """Begin a run with random weights, the same ones for the same seed."""
    torch.manual_seed(basis.recipe.seed)
    network = build(basis)
    average = copy.deepcopy(network).eval()
    scaler = torch.amp.GradScaler("cuda", enabled=torch.cuda.is_available())
    return Run(basis, network, average, _optimizer(basis.recipe, network), scaler, {}, [])


def _optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    how = recipe.optimizer
    # Decay is for what multiplies; norms and biases would only be pulled off their place.
    groups = [
        {
            "params": [weight for weight in network.parameters() if weight.ndim > 1],
            "weight_decay": how.weight_decay,
        },
        {
            "params": [weight for weight in network.parameters() if weight.ndim == 1],
            "weight_decay": 0.0,
        },
    ]
    if how.name == "adam":
        return torch.optim.Adam(groups, lr=how.lr)
    return torch.optim.AdamW(groups, lr=how.lr)


def save(run: Run, folder: Path) -> None:
    """Write the checkpoint, whole or not at all; only tensors, numbers and text are in it.

    Raises GdwatchError; the checkpoint before is intact then.
    """
    basis = run.basis
    content = {
        "recipe": basis.recipe.model_dump_json(),
        "data": basis.data,
        "teacher": basis.teacher,
        "tutor": basis.tutor,
        "start": basis.start,
        "mean": list(basis.mean),
        "std": list(basis.std),
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "best": run.best,
        "history": [
            [e.epoch, e.size, e.train_loss, e.val_loss, e.val_balanced_accuracy, e.seconds]
            for e in run.history
        ],
    }
    checkpoint_file.write(content, folder / CHECKPOINT)


def load(folder: Path) -> Run:
    """Read a run where its last epoch left it. Raises GdwatchError."""
    path = folder / CHECKPOINT
    try:
        content = checkpoint_file.read(path)
        basis = Basis(
            recipe=Recipe.model_validate(json.loads(content["recipe"])),
            data=content["data"],
            teacher=content["teacher"],
            tutor=content.get("tutor", ""),  # runs from before there was one had none
            start=content.get("start", ""),  # likewise
            mean=tuple(content["mean"]),
            std=tuple(content["std"]),
        )
        run = start(basis)
        run.network.load_state_dict(content["network"])
        run.average.load_state_dict(content["average"])
        run.optimizer.load_state_dict(content["optimizer"])
        if content["scaler"]:  # a run on a CPU has none
            run.scaler.load_state_dict(content["scaler"])
        run.best = content["best"]
        run.history = [Epoch(*row) for row in content["history"]]
    except FileNotFoundError as error:
        raise GdwatchError(
            f"{folder}: no {CHECKPOINT} in it", "train with `gdtrain fit`"
        ) from error
    except DAMAGED as error:
        raise GdwatchError(
            f"{path}: not a checkpoint of this gdtrain ({checkpoint_file.reason(error)})",
            "train into another folder",
        ) from error
    return run
