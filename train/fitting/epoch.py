"""One epoch: batches in, the network's weights changed, their running average with them."""

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
from train.data.tensors import Album, at_size
from train.fitting.augment import Dice, augment, throw
from train.fitting.checkpoint import Epoch, Run
from train.fitting.distributed import Team
from train.fitting.recipe import Optimizer, Recipe


@dataclass(frozen=True, slots=True)
class Step:
    """One batch was learnt: for the progress bar.

    step: from 1 to `steps` within the epoch; size: of the input, pixels; pictures: in the batch.
    loss, accuracy: of this process's part of the batch.
    """

    epoch: int
    step: int
    steps: int
    size: int
    pictures: int
    loss: float
    accuracy: float


class Shown(Protocol):
    """Who is told how the training goes."""

    def step(self, step: Step) -> None:
        """One batch was learnt."""

    def epoch(self, epoch: Epoch) -> None:
        """One epoch was learnt and measured."""


@dataclass(frozen=True, slots=True)
class Lessons:
    """What there is to learn.

    rows: those that an epoch shows, those of nobody too, a row as often as it is shown.
    targets: float32 (N + K,), by row of `prepared`, the share of `male` to be learnt, 0 to 1.
    album: of the same pictures.
    tutor: a model that is asked about each picture as it was changed.
    """

    prepared: Prepared
    rows: Indices
    targets: Tensor
    album: Album
    tutor: Model | None = None


class _Logits(nn.Module):
    """The network by its members' logits, in the form that torch distributes."""

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, photos: Tensor) -> Tensor:
        return self.network.logits(photos)


def learner(network: Classifier, team: Team) -> nn.Module:
    """Wrap a network for training: uint8 or float (B, 3, H, W) to logits (B, M).

    In a team, the gradients of all its processes become one. The statistics of batch norms stay
    each process's own, as is usual; what is kept is those of the first.
    """
    wrapped = _Logits(network)
    return wrapped if team.size == 1 else DistributedDataParallel(wrapped)


def learn(run: Run, network: nn.Module, lessons: Lessons, team: Team, shown: Shown) -> float:
    """Learn the next epoch of a run; returns its mean loss.

    network: what `learner` made of the run's.
    """
    recipe, number = run.basis.recipe, len(run.history)
    size = recipe.sizes[number]
    # Order, augmentation and dropout of an epoch depend on its number alone, so a run that
    # goes on throws the same dice as one that was never stopped.
    torch.manual_seed(recipe.seed * 1_000_003 + number)
    network.train()
    batches = list(_batches(lessons.rows, recipe.batch))
    total = 0.0
    for step, batch in enumerate(batches):
        done, steps = number * len(batches) + step, len(recipe.sizes) * len(batches)
        for group in run.optimizer.param_groups:
            group["lr"] = learning_rate(done, steps, recipe.optimizer)
        part = team.part(len(batch))
        dice = throw(len(batch), recipe.augmentation).part(part)
        seen = _seen(lessons, batch[part], dice, recipe, size)
        targets = lessons.targets[batch[part]].to(team.device)
        with torch.autocast(team.device.type, torch.float16, enabled=team.device.type == "cuda"):
            if lessons.tutor is not None:
                targets = targets.lerp(_tutored(lessons.tutor, seen), recipe.tutor)
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
        # At first it forgets faster, or it would remember little but the random weights.
        _follow(run.average, run.network, min(recipe.optimizer.ema, (1 + done) / (10 + done)))
        total += loss.item()
        right = ((logits.detach().mean(1) > 0) == (targets > 0.5)).float().mean().item()
        shown.step(Step(number + 1, step + 1, len(batches), size, len(batch), loss.item(), right))
    return team.mean(total / len(batches))


def _seen(lessons: Lessons, rows: Indices, dice: Dice, recipe: Recipe, size: int) -> Tensor:
    """The pictures changed, as large as the network or its tutor takes them, float (B, 3, S, S)."""
    if lessons.tutor is not None:
        size = max(size, lessons.tutor.details.classifier.input)
    framed = round(size * (SIDE + 2 * lessons.prepared.rim) / SIDE)
    return augment(at_size(lessons.album.framed(rows), framed), dice, recipe.augmentation, size)


@torch.no_grad()
def _tutored(tutor: Model, seen: Tensor) -> Tensor:
    """What the tutor says, float32 (B,), 0 to 1."""
    logits = tutor.classifier(_resized(seen, tutor.details.classifier.input)).float()
    return torch.sigmoid(logits / tutor.details.temperature)


def _resized(seen: Tensor, size: int) -> Tensor:
    if seen.shape[-1] == size:
        return seen
    return F.interpolate(seen, size=(size, size), mode="bilinear", antialias=True)


def learning_rate(step: int, steps: int, optimizer: Optimizer) -> float:
    """Up in a line during the warm-up; then constant, or down along a cosine to nothing."""
    warmup = round(steps * optimizer.warmup)
    if step < warmup:
        return optimizer.lr * (step + 1) / warmup
    if optimizer.schedule == "constant":
        return optimizer.lr
    done = (step - warmup) / max(1, steps - warmup)
    return optimizer.lr * (1 + math.cos(math.pi * done)) / 2


def loss_of(logits: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
    """The recipe's loss: each member's, and their mean.

    logits: float32 (B, M), of `male`; targets: float32 (B,), 0 to 1.
    """
    if recipe.loss == "nll":
        scores = torch.stack((torch.zeros_like(logits), logits), 1)  # (B, 2, M)
        classes = (targets > 0.5).long()[:, None].expand_as(logits)
        return F.nll_loss(F.log_softmax(scores, 1), classes)
    return F.binary_cross_entropy_with_logits(logits, targets[:, None].expand_as(logits))


def _batches(rows: Indices, batch: int) -> Iterator[Indices]:
    order = rows[torch.randperm(len(rows)).numpy()]
    whole = max(1, len(order) // batch)  # a last small batch would only disturb the norms
    for number in range(whole):
        yield order[number * batch : (number + 1) * batch]


def _follow(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Move the average a little towards the network, its norms' statistics too."""
    for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)
