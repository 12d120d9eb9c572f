"""The checkpoint of a training run, written after every epoch, so that a stopped run goes on."""

import copy
import json
from collections.abc import Mapping
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
from train.fitting.surroundings_classifier import SurroundingsClassifier

CHECKPOINT = "checkpoint.pt"

_TRAINED: Mapping[str, type[Classifier]] = {
    **ARCHITECTURES,
    "surroundings": SurroundingsClassifier,
}
_RARE = -3.0  # the logit of nobody begins at this prior (Lin et al. 2017, arXiv:1708.02002)


@dataclass(frozen=True, slots=True)
class Basis:
    """The inputs of a run, which must be the same when it goes on.

    data: digest of the prepared folder's manifest.
    teacher: SHA-256 of the teacher's file, empty without one.
    tutor: SHA-256 of the tutor's model file, empty without one.
    start: SHA-256 of the file of initial weights, empty without one.
    mean, std: by which the network normalises, in 0 to 1, RGB.
    start_name: of that file; a run may go on under another one.
    """

    recipe: Recipe
    data: str
    teacher: str
    tutor: str
    start: str
    mean: Colour
    std: Colour
    start_name: str = ""


@dataclass(frozen=True, slots=True)
class Epoch:
    """The losses and measures of one epoch.

    size: of the input in pixels, for training and validation; seconds: of wall time for both.
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

    average: the network with the exponential moving average of the weights, which is validated.
    scaler: gradient scaler for half precision; does nothing on a CPU.
    best: weights of `average` after the best epoch so far, on the CPU.
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
        """The best epoch at the last input size; the first one where several are equal."""
        size = self.history[-1].size  # the network is used at the size that it was last trained at
        measured = [epoch for epoch in self.history if epoch.size == size]
        if self.basis.recipe.best_by == "loss":
            return min(measured, key=lambda epoch: epoch.val_loss)
        return max(measured, key=lambda epoch: epoch.val_balanced_accuracy)

    def to(self, device: torch.device) -> None:
        """Move the networks and the optimizer to a device."""
        self.network.to(device)
        self.average.to(device)
        # Loading its own state casts it to where the weights are.
        self.optimizer.load_state_dict(self.optimizer.state_dict())


def build(basis: Basis) -> Classifier:
    """Make the recipe's network, untrained."""
    recipe = basis.recipe
    architecture = _TRAINED[recipe.network.arch]
    return architecture(**recipe.arguments, mean=basis.mean, std=basis.std).to(
        memory_format=torch.channels_last
    )


def start(basis: Basis) -> Run:
    """Begin a run with random weights, the same ones for the same seed."""
    torch.manual_seed(basis.recipe.seed)
    network = build(basis)
    if network.tells_nobody:
        _begin_nobody(network)
    average = copy.deepcopy(network).eval()
    scaler = torch.amp.GradScaler("cuda", enabled=torch.cuda.is_available())
    return Run(basis, network, average, _optimizer(basis.recipe, network), scaler, {}, [])


@torch.no_grad()
def _begin_nobody(network: Classifier) -> None:
    head = network.head
    assert isinstance(head, nn.Linear)
    head.weight[-1] = 0.0
    head.bias[-1] = _RARE


def _optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    how = recipe.optimizer
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, weight in network.named_parameters():
        factor = how.features if "features" in name.split(".") else 1.0
        groups.setdefault((weight.ndim > 1, factor), []).append(weight)
    # No weight decay for biases and the parameters of batch norm, as is usual.
    parameters = [
        {"params": each, "weight_decay": how.weight_decay if decays else 0.0, "factor": factor}
        for (decays, factor), each in sorted(groups.items(), reverse=True, key=lambda pair: pair[0])
    ]
    if how.name == "adam":
        return torch.optim.Adam(parameters, lr=how.lr)
    return torch.optim.AdamW(parameters, lr=how.lr)


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
        "start_name": basis.start_name,
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
    """Read a run as it was after its last epoch. Raises GdwatchError."""
    path = folder / CHECKPOINT
    try:
        content = checkpoint_file.read(path)
        basis = Basis(
            recipe=Recipe.model_validate(json.loads(content["recipe"])),
            data=content["data"],
            teacher=content["teacher"],
            tutor=content.get("tutor", ""),  # older checkpoints have no such key
            start=content.get("start", ""),  # likewise
            mean=tuple(content["mean"]),
            std=tuple(content["std"]),
            start_name=content.get("start_name", ""),  # likewise
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
