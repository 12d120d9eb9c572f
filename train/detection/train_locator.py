"""Train the network that finds the faces, by composed scenes; a stopped run goes on."""

import copy
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.inference import model, model_file
from gdwatch.inference.detection import find, overlap, thumbnails
from gdwatch.inference.faces import prominence
from gdwatch.inference.model_file import Network
from gdwatch.networks.folding import fold
from gdwatch.networks.locator import Locator
from gdwatch.values import Box
from train.atomic_files import make_folder, publish
from train.data.sources import CLASSES, Entry
from train.detection import stock
from train.detection.boxes import Face
from train.detection.scenes import Photograph, Stock, compose
from train.fitting.checkpoint import DAMAGED

CHECKPOINT = "locator.pt"
METRICS = "locator.json"
RECIPE = "locator"
PACKAGED = Path(__file__).with_name("locator.toml")
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
_SURE = 0.5  # of the teacher's score, for a face that ought to be found
_SAME = 0.5  # intersection over union of two boxes of one face
_BATCH = 64  # of what is measured

Whole = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shape(_Strict):
    """Arguments of `Locator`."""

    stem: Whole
    widths: list[Whole]
    blocks: list[Annotated[int, Field(ge=0)]]
    head: Whole


class LocatorRecipe(_Strict):
    """What a locator is trained with; the meaning of each number stands in `locator.toml`."""

    seed: int
    input: Annotated[int, Field(multiple_of=32, ge=32)]
    threshold: Annotated[float, Field(gt=0, lt=1)]
    epochs: Whole
    scenes: Whole
    batch: Whole
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    warmup: Annotated[float, Field(ge=0, le=1)]
    ema: Annotated[float, Field(ge=0, lt=1)]
    close: Whole
    without: list[str] = []
    network: Shape
    repeat: dict[str, Whole] = {}


@dataclass(frozen=True, slots=True)
class Measured:
    """How well a locator finds, at one threshold.

    recall: by source, the share of photographs whose most prominent face was found.
    prominent: by source, the share where that face is also the most prominent of those found.
    false: share of the photographs without people on which a face was found.
    """

    threshold: float
    recall: dict[str, float]
    prominent: dict[str, float]
    false: float


@dataclass(slots=True)
class Run:
    """A training run; average: with the running average of the weights, which is measured."""

    recipe: LocatorRecipe
    network: Locator
    average: Locator
    optimizer: torch.optim.Optimizer
    losses: list[float]


class _Scenes(Dataset[tuple[Tensor, ...]]):
    """The scenes of one epoch: each depends on the seed and its number alone."""

    def __init__(self, stock: Stock, recipe: LocatorRecipe, epoch: int) -> None:
        self._stock, self._recipe, self._epoch = stock, recipe, epoch

    def __len__(self) -> int:
        return self._recipe.scenes

    def __getitem__(self, number: int) -> tuple[Tensor, ...]:
        dice = np.random.default_rng([self._recipe.seed, self._epoch, number])
        scene = compose(self._stock, self._recipe.input, dice)
        return tuple(
            torch.from_numpy(values)
            for values in (scene.thumbnail, scene.heat, scene.counts, scene.boxes, scene.weight)
        )


def read(recipe: str) -> LocatorRecipe:
    """Read a recipe by its name in the package, or from a file. Raises GdwatchError."""
    path = PACKAGED if recipe == RECIPE else Path(recipe)
    try:
        return LocatorRecipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"recipe {recipe}: no such file", f"name {RECIPE}, or a .toml file"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise GdwatchError(
            f"recipe {path}: {where}: {first['msg'].lower()}", f"compare it with {RECIPE}.toml"
        ) from error
    except ValueError as error:
        raise GdwatchError(f"recipe {path}: no valid TOML ({error})") from error


def fit(
    listed: Sequence[Entry],
    splits: Mapping[str, str],
    faces: Mapping[str, Sequence[Face]],
    recipe: LocatorRecipe,
    out: Path,
    workers: int,
) -> Iterator[tuple[int, float, list[Measured]]]:
    """Train until the last epoch, with a checkpoint in `out` after each.

    splits: of every photograph, by path. faces: likewise, what a teacher found.
    workers: processes that compose scenes; 0 for none but this one.

    Yields each epoch's number, its mean loss and, after every fifth and the last, what it finds
    on the split `val`. Raises GdwatchError.
    """
    make_folder(out)
    run = _resume(recipe, out)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run.network.to(device)
    run.average.to(device)
    run.optimizer.load_state_dict(run.optimizer.state_dict())
    chosen = [entry for entry in listed if entry.source not in recipe.without]
    learnt = [entry for entry in chosen if splits[entry.path] == "train"]
    held_back = [entry for entry in chosen if splits[entry.path] == "val"]
    if len(run.losses) < recipe.epochs:
        made_of = stock.load(learnt, faces, recipe.repeat, recipe.close)
        if not made_of.wide and not made_of.close:
            raise GdwatchError("no photograph with a face to learn from", "check --faces")
        checked = [(entry, seen) for entry in held_back
                   if (seen := stock.read(entry, faces.get(entry.path, [])))]  # fmt: skip
    for epoch in range(len(run.losses), recipe.epochs):
        scenes = DataLoader(
            _Scenes(made_of, recipe, epoch),
            recipe.batch,
            num_workers=workers,
            drop_last=recipe.scenes >= recipe.batch,
            pin_memory=device.type == "cuda",
        )
        run.losses.append(_learn(run, scenes, epoch, device))
        _save(run, out)
        measured: list[Measured] = []
        if (epoch + 1) % 5 == 0 or epoch + 1 == recipe.epochs:
            measured = measure(run.average, checked, recipe.input)
            with publish(out / METRICS) as aside:
                aside.write_text(json.dumps([asdict(one) for one in measured], indent=2) + "\n")
        yield epoch + 1, run.losses[-1], measured


def load(path: Path) -> tuple[Locator, Network]:
    """The locator of a run's folder or of a model file, and what a model file says of it.

    It is in evaluation mode on the CPU, its norms folded. Raises GdwatchError.
    """
    if path.is_file():
        loaded = model.load(model_file.read(path))
        if loaded.locator is None or loaded.details.locator is None:
            raise UsageError(f"{path}: a model without a locator", "name another one")
        return loaded.locator, loaded.details.locator
    run = _load(path)
    fold(run.average)
    arguments = run.recipe.network.model_dump() | {
        "threshold": run.recipe.threshold,
        "folded": True,
    }
    return run.average, Network(arch="pyramid", arguments=arguments, input=run.recipe.input)


def measure(
    locator: Locator, photographs: Sequence[tuple[Entry, Photograph]], side: int
) -> list[Measured]:
    """How many of the teacher's faces a locator finds, at each of `THRESHOLDS`."""
    device = next(locator.parameters()).device
    locator.eval()
    recall: dict[float, dict[str, list[bool]]] = {at: {} for at in THRESHOLDS}
    prominent: dict[float, dict[str, list[bool]]] = {at: {} for at in THRESHOLDS}
    false: dict[float, list[bool]] = {at: [] for at in THRESHOLDS}
    for begin in range(0, len(photographs), _BATCH):
        batch = photographs[begin : begin + _BATCH]
        shown = thumbnails([np.array(seen.image) for _, seen in batch], side)
        with torch.inference_mode():
            answer = locator(shown.to(device).permute(0, 3, 1, 2)).cpu()
        for at in THRESHOLDS:
            for (entry, seen), found in zip(batch, find(answer, at), strict=True):
                scale = max(seen.image.size) / side
                boxes = [Box(*(scale * value for value in (box.x, box.y, box.width, box.height)))
                         for box in (face.box for face in found)]  # fmt: skip
                if entry.label not in CLASSES:
                    false[at].append(bool(boxes))
                    continue
                wanted = _most_prominent(_sure(seen), seen.image.size)
                if wanted is None:
                    continue
                first = _most_prominent(boxes, seen.image.size)
                recall[at].setdefault(entry.source, []).append(
                    any(overlap(box, wanted) > _SAME for box in boxes)
                )
                prominent[at].setdefault(entry.source, []).append(
                    first is not None and overlap(first, wanted) > _SAME
                )
    return [
        Measured(
            at, _shares(recall[at]), _shares(prominent[at]), float(np.mean(false[at] or [False]))
        )
        for at in THRESHOLDS
    ]


def _shares(by_source: Mapping[str, Sequence[bool]]) -> dict[str, float]:
    every = [one for many in by_source.values() for one in many]
    shares = {source: float(np.mean(many)) for source, many in sorted(by_source.items())}
    return shares | {"all": float(np.mean(every or [False]))}


def _sure(seen: Photograph) -> list[Box]:
    return [
        Box(*map(float, (left, top, right - left, bottom - top)))
        for left, top, right, bottom, score in seen.faces
        if score >= _SURE
    ]


def _most_prominent(boxes: Sequence[Box], size: tuple[int, int]) -> Box | None:
    return max(boxes, key=lambda box: prominence(box, *size), default=None)


def _learn(
    run: Run, scenes: DataLoader[tuple[Tensor, ...]], epoch: int, device: torch.device
) -> float:
    recipe = run.recipe
    run.network.train()
    total, steps = 0.0, len(scenes) * recipe.epochs
    for step, batch in enumerate(scenes):
        done = epoch * len(scenes) + step
        warm = min(1.0, (done + 1) / max(1, recipe.warmup * steps))
        for group in run.optimizer.param_groups:
            group["lr"] = recipe.lr * warm * (1 + math.cos(math.pi * done / steps)) / 2
        thumbnails, *wanted = (values.to(device, non_blocking=True) for values in batch)
        loss = loss_of(run.network(thumbnails), *wanted)
        run.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(run.network.parameters(), 5.0)
        run.optimizer.step()
        keep = min(recipe.ema, (1 + done) / (10 + done))
        for old, new in zip(
            run.average.state_dict().values(), run.network.state_dict().values(), strict=True
        ):
            if old.is_floating_point():
                old.lerp_(new, 1 - keep)
        total += loss.item()
    return total / len(scenes)


def loss_of(answer: Tensor, heat: Tensor, counts: Tensor, boxes: Tensor, weight: Tensor) -> Tensor:
    """The penalty-reduced focal loss of CenterNet (Zhou et al. 2019, arXiv:1904.07850), and boxes.

    answer: float (B, 5, h, w), as from `Locator`; the others as in `Scene`, with a batch axis.
    """
    sure = torch.sigmoid(answer[:, 0]).clamp(1e-4, 1 - 1e-4)
    centre = (heat >= 0.999).float()
    there = centre * (1 - sure) ** 2 * torch.log(sure)
    beside = (1 - centre) * (1 - heat) ** 4 * sure**2 * torch.log(1 - sure) * counts
    focal = -(there + beside).sum() / centre.sum().clamp(min=1)
    whole = weight.sum().clamp(min=1)
    moved = F.smooth_l1_loss(answer[:, 1:3], boxes[:, :2], reduction="none", beta=0.3)
    sized = F.smooth_l1_loss(answer[:, 3:], boxes[:, 2:], reduction="none", beta=0.1)
    return focal + ((moved / 1.5 + 2 * sized) * weight[:, None]).sum() / whole


def _start(recipe: LocatorRecipe) -> Run:
    torch.manual_seed(recipe.seed)
    network = Locator(**recipe.network.model_dump(), threshold=recipe.threshold)
    network = network.to(memory_format=torch.channels_last)
    # Faces are rare, and it knows from the start.
    network.out.bias = nn.Parameter(torch.tensor([-3.0, 0, 0, 0, 0]))
    optimizer = torch.optim.AdamW(network.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    return Run(recipe, network, copy.deepcopy(network).eval(), optimizer, [])


def _save(run: Run, out: Path) -> None:
    content = {
        "recipe": run.recipe.model_dump_json(),
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "losses": run.losses,
    }
    with publish(out / CHECKPOINT) as aside:
        torch.save(content, aside)


def _resume(recipe: LocatorRecipe, out: Path) -> Run:
    if not (out / CHECKPOINT).exists():
        return _start(recipe)
    run = _load(out)
    if run.recipe != recipe:
        raise GdwatchError(
            f"{out / CHECKPOINT}: made with another recipe", "train into another folder"
        )
    return run


def _load(folder: Path) -> Run:
    path = folder / CHECKPOINT
    try:
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        run = _start(LocatorRecipe.model_validate_json(content["recipe"]))
        run.network.load_state_dict(content["network"])
        run.average.load_state_dict(content["average"])
        run.optimizer.load_state_dict(content["optimizer"])
        run.losses = content["losses"]
    except DAMAGED as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise GdwatchError(
            f"{path}: not a run of `gdtrain locate` ({first})", "train into another folder"
        ) from error
    return run
