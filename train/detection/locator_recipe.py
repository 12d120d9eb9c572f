"""The recipe of a locator: every number that its training depends on, in one TOML file."""

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gdwatch.errors import GdwatchError, UsageError

RECIPE = "locator"
PACKAGED = {name: Path(__file__).with_name(f"{name}.toml") for name in (RECIPE, "closer")}

Whole = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shape(_Strict):
    """Arguments of `Locator`."""

    stem: Whole
    widths: list[Whole]
    blocks: list[Annotated[int, Field(ge=0)]]
    head: Whole
    landmarks: bool = False


class LocatorRecipe(_Strict):
    """How a locator is trained; `locator.toml` explains each number."""

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
    scene: Annotated[int | None, Field(multiple_of=32, ge=32)] = None
    windows: Annotated[float, Field(ge=0, le=1)] = 0.0
    kept: Whole = 288
    without: list[str] = []
    network: Shape
    repeat: dict[str, Whole] = {}


def read(recipe: str) -> LocatorRecipe:
    """Read a recipe by its name in the package, or from a file. Raises GdwatchError."""
    path = PACKAGED.get(recipe, Path(recipe))
    try:
        return LocatorRecipe.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"recipe {recipe}: no such file", f"name {', '.join(PACKAGED)}, or a .toml file"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise GdwatchError(
            f"recipe {path}: {where}: {first['msg'].lower()}", f"compare it with {RECIPE}.toml"
        ) from error
    except ValueError as error:
        raise GdwatchError(f"recipe {path}: no valid TOML ({error})") from error
