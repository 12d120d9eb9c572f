"""Train one epoch: the weights of the network, and their exponential moving average."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gdwatch.inference.model import Model
from gdwatch.networks.classifier import Classifier
from train.data.prepared_set import FRAMED, Indices, Prepared
from train.data.tensors import PictureCache, shrink
from train.fitting.augment import AugmentationParameters, augment, draw_parameters
from train.fitting.checkpoint import Epoch, Run
from train.fitting.distributed import ProcessGroup
from train.fitting.recipe import Optimizer, Recipe
from train.fitting.targets import Lessons, Targets

_ROUNDING = 1e-6  # more than the rounding errors of a sum of how often rows are shown


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

    cache: of the same pictures.
    tutor: a teacher that answers for each augmented picture.
    """

    prepared: Prepared
    lessons: Lessons
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
    """Wrap a network for training: uint8 or float (B, 3, H, W) to `Classifier.logits`.

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
    batches = list(_batches(training_set.lessons, recipe.batch))
    total = 0.0
    for step, batch in enumerate(batches):
        done, steps = number * len(batches) + step, len(recipe.sizes) * len(batches)
        for group in run.optimizer.param_groups:
            group["lr"] = group["factor"] * learning_rate(done, steps, recipe.optimizer)
        part = processes.share(len(batch))
        parameters = draw_parameters(len(batch), recipe.augmentation).select(part)
        seen = _augmented(training_set, batch[part], parameters, recipe, size)
        targets = training_set.lessons.targets.of(batch[part], processes.device)
        with torch.autocast(
            processes.device.type, torch.float16, enabled=processes.device.type == "cuda"
        ):
            if training_set.tutor is not None:
                said = _tutor_answers(training_set.tutor, seen)
                targets = replace(targets, male=targets.male.lerp(said, recipe.tutor))
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
        predicted = logits[:, :-1] if recipe.tells_nobody else logits
        right = ((predicted.detach().mean(1) > 0) == (targets.male > 0.5)).float().mean().item()
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
    """Augmented pictures at the larger input of network and tutor, float (B, 3, S, W)."""
    if training_set.tutor is not None:
        size = max(size, training_set.tutor.details.classifier.input)
    with_rim = round(size * (1 if training_set.prepared.view == "whole" else FRAMED))
    return augment(
        shrink(training_set.cache.with_rim(rows), with_rim), parameters, recipe.augmentation, size
    )


@torch.no_grad()
def _tutor_answers(tutor: Model, seen: Tensor) -> Tensor:
    """The tutor's probabilities of `male`, float32 (B,)."""
    logits = tutor.classifier(_resized(seen, tutor.details.classifier.input))[:, 0].float()
    return torch.sigmoid(logits / tutor.details.temperature)


def _resized(seen: Tensor, size: int) -> Tensor:
    height, width = seen.shape[-2:]
    if height == size:
        return seen
    shape = size, round(size * width / height)
    return F.interpolate(seen, size=shape, mode="bilinear", antialias=True)


def learning_rate(step: int, steps: int, optimizer: Optimizer) -> float:
    """Linear warm-up, then constant or cosine decay to 0."""
    warmup = round(steps * optimizer.warmup)
    if step < warmup:
        return optimizer.lr * (step + 1) / warmup
    if optimizer.schedule == "constant":
        return optimizer.lr
    done = (step - warmup) / max(1, steps - warmup)
    return optimizer.lr * (1 + math.cos(math.pi * done)) / 2


def loss_of(logits: Tensor, targets: Targets, recipe: Recipe) -> Tensor:
    """The recipe's loss: that of `male`, the mean over pictures and members, and that of nobody.

    logits: float32 (B, M), of `male`; (B, M + 1), the last of nobody, where the network tells that.
    """
    of_nobody = torch.zeros(1, device=logits.device)
    if recipe.tells_nobody:
        losses = F.binary_cross_entropy_with_logits(
            logits[:, -1], targets.nobody, targets.nobody_weight, reduction="none"
        )
        logits, of_nobody = logits[:, :-1], recipe.nobody_loss * losses.mean()
    if recipe.loss == "nll":
        scores = torch.stack((torch.zeros_like(logits), logits), 1)  # (B, 2, M)
        classes = (targets.male > 0.5).long()[:, None].expand_as(logits)
        losses = F.nll_loss(F.log_softmax(scores, 1), classes, reduction="none")
    else:
        wanted = targets.male[:, None].expand_as(logits)
        losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    weight = targets.male_weight
    of_male = (losses.mean(1) * weight).sum() / weight.sum().clamp(min=1)
    return of_male + of_nobody.squeeze()


def drawn(lessons: Lessons) -> Indices:
    """Draw the rows of an epoch in a random order, each as often as it is to be shown.

    A row that is shown half a time is in every second epoch, in the mean. An epoch has the same
    number of pictures every time (systematic sampling).
    """
    shuffled = torch.randperm(len(lessons.rows)).numpy()
    begin = torch.rand(1, dtype=torch.float64).item()
    until = np.floor(np.cumsum(lessons.times[shuffled]) + begin + _ROUNDING)
    counts = np.diff(until, prepend=0.0).astype(np.int64)
    rows = np.repeat(lessons.rows[shuffled], counts)
    order: Indices = rows[torch.randperm(len(rows)).numpy()]
    return order[: max(1, int(lessons.times.sum() + _ROUNDING))]


def _batches(lessons: Lessons, batch: int) -> Iterator[Indices]:
    order = drawn(lessons)
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
