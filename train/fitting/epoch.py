"""Train one epoch: the weights of the network, and their exponential moving average."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gdwatch.inference.model import Model
from gdwatch.networks.classifier import Classifier
from train.data.prepared_set import SIDE, Indices, Prepared
from train.data.tensors import PictureCache, shrink
from train.fitting.augment import AugmentationParameters, augment, draw_parameters
from train.fitting.checkpoint import Epoch, Run
from train.fitting.distributed import ProcessGroup
from train.fitting.recipe import Optimizer, Recipe


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step, for the progress bar.

    step: from 1 to `steps` within the epoch; size: of the input, pixels; pictures: in the batch.
    loss, accuracy: of this process's share of the batch.
    """

    epoch: int
    step: int
    steps: int
    size: int
    pictures: int
    loss: float
    accuracy: float


class Progress(Protocol):
    """Gets every step and every epoch of a training run."""

    def step(self, step: Step) -> None:
        """One batch was trained on."""

    def epoch(self, epoch: Epoch) -> None:
        """One epoch was trained and validated."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The pictures and targets of a run.

    rows: of an epoch, squares without a face too; a repeated row stands here as often.
    targets: float32 (N + K,), by row of `prepared`: the soft label, 0 for female to 1 for male.
    cache: of the same pictures.
    tutor: a teacher that answers for each augmented picture.
    """

    prepared: Prepared
    rows: Indices
    targets: Tensor
    cache: PictureCache
    tutor: Model | None = None


class _Logits(nn.Module):
    """The logits of a network's members as `forward`, which DistributedDataParallel calls."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, photos: Tensor) -> Tensor:
        return self.network.logits(photos)


def for_training(network: Classifier, processes: ProcessGroup) -> nn.Module:
    """Wrap a network for training: uint8 or float (B, 3, H, W) to logits (B, M).

    With several processes the gradients are averaged over them. Batch norm keeps the statistics of
    each process's own share, as is usual; those of rank 0 are saved.
    """
    wrapped = _Logits(network)
    return wrapped if processes.size == 1 else DistributedDataParallel(wrapped)


def train_epoch(
    run: Run,
    network: nn.Module,
    training_set: TrainingSet,
    processes: ProcessGroup,
    progress: Progress,
) -> float:
    """Train the next epoch of a run; returns its mean loss.

    network: that of the run, wrapped by `for_training`.
    """
    recipe, number = run.basis.recipe, len(run.history)
    size = recipe.sizes[number]
    # The seed of an epoch depends on its number alone: a run that goes on has the same order,
    # augmentation and dropout as one that was never stopped.
    torch.manual_seed(recipe.seed * 1_000_003 + number)
    network.train()
    batches = list(_batches(training_set.rows, recipe.batch))
    total = 0.0
    for step, batch in enumerate(batches):
        done, steps = number * len(batches) + step, len(recipe.sizes) * len(batches)
        for group in run.optimizer.param_groups:
            group["lr"] = learning_rate(done, steps, recipe.optimizer)
        part = processes.share(len(batch))
        parameters = draw_parameters(len(batch), recipe.augmentation).select(part)
        seen = _augmented(training_set, batch[part], parameters, recipe, size)
        targets = training_set.targets[batch[part]].to(processes.device)
        with torch.autocast(
            processes.device.type, torch.float16, enabled=processes.device.type == "cuda"
        ):
            if training_set.tutor is not None:
                targets = targets.lerp(_tutor_answers(training_set.tutor, seen), recipe.tutor)
            logits = network(_resized(seen, size)).float()
        loss = loss_of(logits, targets, recipe)
        run.optimizer.zero_grad()
        # torch gives `backward` no type.
        run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if recipe.optimizer.clip:
            run.scaler.unscale_(run.optimizer)
            nn.utils.clip_grad_norm_(run.network.parameters(), recipe.optimizer.clip)
        run.scaler.step(run.optimizer)
        run.scaler.update()
        # The decay begins low, or the average would be mostly the random initial weights.
        _update_average(
            run.average, run.network, min(recipe.optimizer.ema, (1 + done) / (10 + done))
        )
        total += loss.item()
        right = ((logits.detach().mean(1) > 0) == (targets > 0.5)).float().mean().item()
        progress.step(
            Step(number + 1, step + 1, len(batches), size, len(batch), loss.item(), right)
        )
    return processes.mean(total / len(batches))


def _augmented(
    training_set: TrainingSet,
    rows: Indices,
    parameters: AugmentationParameters,
    recipe: Recipe,
    size: int,
) -> Tensor:
    """Augmented pictures at the larger input of network and tutor, float (B, 3, S, S)."""
    if training_set.tutor is not None:
        size = max(size, training_set.tutor.details.classifier.input)
    with_rim = round(size * (SIDE + 2 * training_set.prepared.rim) / SIDE)
    return augment(
        shrink(training_set.cache.with_rim(rows), with_rim), parameters, recipe.augmentation, size
    )


@torch.no_grad()
def _tutor_answers(tutor: Model, seen: Tensor) -> Tensor:
    """The tutor's probabilities of `male`, float32 (B,)."""
    logits = tutor.classifier(_resized(seen, tutor.details.classifier.input))[:, 0].float()
    return torch.sigmoid(logits / tutor.details.temperature)


def _resized(seen: Tensor, size: int) -> Tensor:
    if seen.shape[-1] == size:
        return seen
    return F.interpolate(seen, size=(size, size), mode="bilinear", antialias=True)


def learning_rate(step: int, steps: int, optimizer: Optimizer) -> float:
    """Linear warm-up, then constant or cosine decay to 0."""
    warmup = round(steps * optimizer.warmup)
    if step < warmup:
        return optimizer.lr * (step + 1) / warmup
    if optimizer.schedule == "constant":
        return optimizer.lr
    done = (step - warmup) / max(1, steps - warmup)
    return optimizer.lr * (1 + math.cos(math.pi * done)) / 2


def loss_of(logits: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
    """The recipe's loss, the mean over pictures and members.

    logits: float32 (B, M), of `male`; targets: float32 (B,), 0 to 1.
    """
    if recipe.loss == "nll":
        scores = torch.stack((torch.zeros_like(logits), logits), 1)  # (B, 2, M)
        classes = (targets > 0.5).long()[:, None].expand_as(logits)
        return F.nll_loss(F.log_softmax(scores, 1), classes)
    return F.binary_cross_entropy_with_logits(logits, targets[:, None].expand_as(logits))


def _batches(rows: Indices, batch: int) -> Iterator[Indices]:
    order = rows[torch.randperm(len(rows)).numpy()]
    whole = max(1, len(order) // batch)  # a small last batch would disturb batch norm
    for number in range(whole):
        yield order[number * batch : (number + 1) * batch]


def _update_average(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Update the exponential moving average, with the statistics of batch norm."""
    for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)
