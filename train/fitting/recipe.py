"""A recipe: all hyperparameters of a training run, in one TOML file."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gdwatch.errors import GdwatchError, UsageError
from train.data.prepared_set import SIDE, View

PACKAGED = Path(__file__).parents[1] / "recipes"

Share = Annotated[float, Field(ge=0, le=1)]
Whole = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Stages(_Strict):
    stem: Whole
    widths: list[Whole]
    blocks: list[Annotated[int, Field(ge=0)]]
    dropout: Share = 0.2


class Residual(_Stages):
    """Arguments of `ResidualClassifier`."""

    arch: Literal["residual"]


class Ensemble(_Stages):
    """Arguments of `EnsembleClassifier`."""

    arch: Literal["ensemble"]
    members: Whole


class Pooled(_Strict):
    """Arguments of `PooledClassifier`."""

    arch: Literal["pooled"]
    widths: Annotated[list[Whole], Field(min_length=1)]
    blocks: list[Whole]
    dropout: Share = 0.2
    nobody: bool = False


class Surroundings(_Strict):
    """Arguments of `SurroundingsClassifier`."""

    arch: Literal["surroundings"]
    stem: Whole
    stages: Annotated[list[tuple[Whole, Whole, Whole, Whole]], Field(min_length=1)]
    head: Whole
    dropout: Share = 0.3


class Seed(_Strict):
    """Arguments of `SeedClassifier`."""

    arch: Literal["seed"]
    stages: Annotated[list[list[Whole]], Field(min_length=1)]
    grey: bool
    dropout: Share = 0.2


Shape = Annotated[Residual | Ensemble | Pooled | Surroundings | Seed, Field(discriminator="arch")]
Colour = tuple[float, float, float]


class Phase(_Strict):
    """Some epochs at one input size, in pixels."""

    size: Annotated[int, Field(ge=16, le=SIDE)]
    epochs: Whole


class Augmentation(_Strict):
    """The limits of the augmentation; pictures are mirrored too. See `augment`."""

    degrees: Annotated[float, Field(ge=0, le=180)]
    zoom: Annotated[float, Field(ge=1, le=4)]
    shift: Share
    brightness: Share
    contrast: Share
    grey: Share
    outside: Literal["edge", "black"] = "edge"
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    coarse: Share = 0.0
    hidden: Share = 0.0


class Optimizer(_Strict):
    """The optimizer and its learning rate schedule; `adam` and `adamw` are torch's.

    features: factor of the learning rate of the layers that are named so.
    """

    name: Literal["adam", "adamw"]
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["cosine", "constant"]
    warmup: Share = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip: Annotated[float, Field(gt=0)] | None = None
    features: Annotated[float, Field(gt=0, le=1)] = 1.0


class Recipe(_Strict):
    """The hyperparameters of a classifier's training; `default.toml` explains each number.

    pictures: train on so many of the split `train` at most, chosen by hash.
    crop: what the classifier sees of a photograph, see `prepared_set.View`.
    learn_age: the least age of persons in training; `min_age` where not given.
    without: sources that are kept out of training, to measure how well a new source is classified.
    nobody: how often an epoch shows each crop without a face. A network that tells nobody learns
    only that from it, another one a target of 0.5.
    nobody_loss: weight of the loss of what a network tells of nobody.
    teacher: weight of the teacher's answer in the target, the rest is the label's; 0 without one.
    teacher_of_small: the same of small faces; `teacher` where not given.
    contradicted: labels from which the teacher's answer is farther than this are left out.
    tutor: weight of the tutor's answer in the target, the rest is that of label and teacher. The
    tutor sees each picture as it was augmented (knowledge distillation after Beyer et al. 2022,
    arXiv:2106.05237); 0 without one.
    mean, std: by which the network normalises, in 0 to 1, RGB; the pictures' own where not given.
    repeat: by source, how often an epoch shows a picture, in the mean; 1 where not given.
    best_by: the measure on the split `val` by which the best epoch is chosen.
    """

    seed: int
    min_age: Annotated[int, Field(ge=0)]
    batch: Annotated[int, Field(ge=2)]
    pictures: Whole | None = None
    loss: Literal["cross-entropy", "nll"] = "cross-entropy"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    crop: View = "whole"
    learn_age: Annotated[int, Field(ge=0)] | None = None
    teacher: Share = 0.0
    teacher_of_small: Share | None = None
    contradicted: Share | None = None
    tutor: Share = 0.0
    mean: Colour | None = None
    std: Colour | None = None
    best_by: Literal["loss", "balanced accuracy"] = "balanced accuracy"
    optimizer: Optimizer
    network: Shape
    phases: Annotated[list[Phase], Field(min_length=1)]
    without: list[str] = []
    nobody: Annotated[float, Field(ge=0)] = 0.0
    nobody_loss: Annotated[float, Field(ge=0)] = 0.5
    repeat: dict[str, Annotated[float, Field(gt=0)]] = {}
    augmentation: Augmentation

    @model_validator(mode="after")
    def _nll_takes_classes(self) -> Self:
        if self.loss == "nll" and (self.label_smoothing or self.teacher or self.tutor):
            raise ValueError("nll learns classes, not shares: no label_smoothing and no teacher")
        return self

    @model_validator(mode="after")
    def _seed_network_has_one_size(self) -> Self:
        if self.network.arch == "seed" and len(set(self.sizes)) > 1:
            raise ValueError("a seed network has one size, so its phases must have the same")
        return self

    @model_validator(mode="after")
    def _what_tells_nobody_sees_crops(self) -> Self:
        if self.tells_nobody and self.crop == "whole":
            raise ValueError("a network that tells nobody learns from crops")
        return self

    @model_validator(mode="after")
    def _surroundings_have_their_network(self) -> Self:
        if (self.network.arch == "surroundings") != (self.crop == "surroundings"):
            raise ValueError("the crop surroundings is for a network of this name, and it for that")
        if self.crop == "surroundings" and (self.mean is None or self.std is None):
            raise ValueError("for surroundings mean and std must be those of the face's recipe")
        return self

    @property
    def tells_nobody(self) -> bool:
        """Whether the network also says that nobody is there."""
        return self.network.arch == "surroundings" or getattr(self.network, "nobody", False)

    @property
    def arguments(self) -> dict[str, Any]:
        """The network's arguments, as in the model file; without mean and std."""
        arguments = self.network.model_dump(exclude={"arch"})
        return arguments | {"input": self.input} if self.network.arch == "seed" else arguments

    @property
    def sizes(self) -> list[int]:
        """The input size of every epoch, in pixels."""
        return [phase.size for phase in self.phases for _ in range(phase.epochs)]

    @property
    def input(self) -> int:
        """The input size at which the model is validated and used, in pixels."""
        return self.phases[-1].size


def read(recipe: str) -> Recipe:
    """Read a recipe by its name in the package, or from a file.

    Raises GdwatchError.
    """
    packaged = sorted(path.stem for path in PACKAGED.glob("*.toml"))
    path = PACKAGED / f"{recipe}.toml" if recipe in packaged else Path(recipe)
    try:
        found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"recipe {recipe}: no such file", f"name one of {', '.join(packaged)}, or a .toml file"
        ) from error
    except ValueError as error:
        raise GdwatchError(f"recipe {path}: no valid TOML ({error})") from error
    try:
        return Recipe.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise GdwatchError(
            f"recipe {path}: {where}: {first['msg'].lower()}", "compare it with default.toml"
        ) from error
