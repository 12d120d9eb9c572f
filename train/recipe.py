"""A recipe: every number that a training run depends on, in one TOML file."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdwatch.errors import GdwatchError, UsageError
from train.pictures import SIDE

PACKAGED = Path(__file__).parent / "recipes"

Share = Annotated[float, Field(ge=0, le=1)]
Whole = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shape(_Strict):
    """Arguments of `ResidualClassifier`."""

    stem: Whole
    widths: list[Whole]
    blocks: list[Annotated[int, Field(ge=0)]]


class Phase(_Strict):
    """Some epochs at one input size, in pixels."""

    size: Annotated[int, Field(ge=16, le=SIDE)]
    epochs: Whole


class Augmentation(_Strict):
    """How far a picture may be changed, besides being mirrored; see `augment`."""

    degrees: Annotated[float, Field(ge=0, le=180)]
    zoom: Annotated[float, Field(ge=1, le=4)]
    shift: Share
    brightness: Share
    contrast: Share
    grey: Share


class Recipe(_Strict):
    """What a model is trained with; the meaning of each number stands in `default.toml`."""

    seed: int
    min_age: Annotated[int, Field(ge=0)]
    batch: Annotated[int, Field(ge=2)]
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    warmup_steps: Annotated[int, Field(ge=0)]
    ema: Annotated[float, Field(ge=0, lt=1)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    network: Shape
    phases: Annotated[list[Phase], Field(min_length=1)]
    repeat: dict[str, Whole] = {}
    augmentation: Augmentation

    @property
    def sizes(self) -> list[int]:
        """The input size of every epoch, in pixels."""
        return [phase.size for phase in self.phases for _ in range(phase.epochs)]

    @property
    def input(self) -> int:
        """The size that the model is measured and used with, in pixels."""
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
