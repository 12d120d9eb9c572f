"""Reads a model file, one `.safetensors`, and checks all of it before a tensor is used.

Nothing here needs torch, and nothing is ever unpickled. `model` builds the networks.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import safetensors
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from gdwatch.decode.reduce import Reduction
from gdwatch.errors import ActionNeeded
from gdwatch.values import Crop

FORMATS = 1, 2  # format 2 may have all that is optional in `Details`
SCALE = ".scale"  # ends the name of the scales of an 8-bit tensor
METADATA_KEY = "gdwatch"
CASCADES = {"auto": ("fast", "accurate")}  # the first judges all, see `cascade`
MAX_BYTES = 256 * 1024 * 1024
PACKAGED = Path(__file__).parents[1] / "models"
# How much the smallest face that the locator finds may be enlarged to the classifier's input. No
# measure of accuracy shows it, and a photograph of 1280 pixels is decoded at half its size.
_ENLARGEMENT = 1.2
_CLOSER = 1.5  # pixels of the slot for a pixel of the closer look, at least

Positive = Annotated[FiniteFloat, Field(gt=0)]


class Network(BaseModel):
    """One network of the file: its architecture, constructor arguments and input size.

    ranges: the largest result of each layer on photographs, by the layer's name, for computing in
    8-bit integers. Without ranges, the network computes in floats.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    arch: str
    arguments: dict[str, Any]
    input: Annotated[int, Field(ge=16, le=1024)]  # side of the square, pixels
    ranges: Annotated[dict[str, Positive], Field(min_length=1)] | None = None


class Preprocessing(BaseModel):
    """How the classifier's input is cut out, see `crop`, and normalised.

    margin: side of the crop, as a multiple of the face's longer side; null without a locator.
    upright: whether the crop is turned by the tilt of the face.
    smallest_face: size of the smallest face that the locator can find, in pixels of its input.
    mean, std: as in `Classifier`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: Annotated[FiniteFloat, Field(ge=1, le=4)] | None = None
    upright: bool = False
    shape: Literal["square"] = "square"
    padding: Literal["edge"] = "edge"
    smallest_face: Annotated[FiniteFloat, Field(ge=4, le=256)] = 10
    interpolation: Literal["bilinear"] = "bilinear"
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[Positive, Positive, Positive]
    colour: Literal["RGB"] = "RGB"


class Calibration(BaseModel):
    """How the logit of `male` depends on how well a face is seen, see `calibration`.

    size: for each doubling of the face's longer side. sharpness: for each tenfold sharpness.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: FiniteFloat = 0.0
    sharpness: FiniteFloat = 0.0


class Details(BaseModel):
    """The JSON object in the file's metadata; the ledger's table `models` stores it unchanged.

    closer: the locator of the second look, see `finder`; null: there is only one look.
    min_confidence_bodies: as `min_confidence`, for a person without a visible face; null: the model
    cannot tell.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1, 2]
    name: Annotated[str, Field(min_length=1, pattern=r"^[\w.+-]+$")]
    version: Annotated[str, Field(min_length=1, pattern=r"^[\w.+-]+$")]
    created: str
    locator: Network | None
    closer: Network | None = None
    classifier: Network
    preprocessing: Preprocessing
    temperature: Positive
    calibration: Calibration = Calibration()
    min_confidence: Annotated[float, Field(ge=0.5, le=1)]
    min_confidence_bodies: Annotated[float, Field(ge=0.5, le=1)] | None = None
    classes: tuple[Literal["female"], Literal["male"]]
    trained_on: dict[str, Any]
    measures: dict[str, Any]
    recipe: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """The checked bytes of a model file, with its metadata.

    sha256: of the bytes, in hexadecimal.
    shapes: of each tensor, by name; every tensor is float32, float16 to take half the room, or int8
    with the scale of each of its first axis in a tensor of its own, see `eight_bits`.
    """

    path: Path
    content: bytes
    sha256: str
    details: Details
    shapes: dict[str, tuple[int, ...]]


def find(model: str) -> Path:
    """Return the path that the setting `model` names: a model of the package, or a file.

    Raises ActionNeeded if there is no such model.
    """
    shipped = sorted(path.stem for path in PACKAGED.glob("*.safetensors"))
    if model in shipped:
        return PACKAGED / f"{model}.safetensors"
    path = Path(model)
    if not path.is_file():
        raise ActionNeeded(
            f"model {model}: no such file",
            f"set `model` to {', '.join([*CASCADES, *shipped])} or to a .safetensors file",
        )
    return path


def read_models(model: str, crop: Crop) -> tuple[ModelFile, ...]:
    """Read the files of the models that the setting `model` names: two for a cascade, else one.

    crop: the setting; a whole picture is judged by the first model alone.

    Raises ActionNeeded, as `find` and `read`.
    """
    names = CASCADES.get(model, (model,))
    return tuple(read(find(name)) for name in (names[:1] if crop == "whole" else names))


def read(path: Path) -> ModelFile:
    """Read and check a model file, the whole at once: what is checked is what is used.

    Raises ActionNeeded if it is missing, too large, damaged or not a model of gdwatch.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise _refused(path, f"{size} bytes, more than {MAX_BYTES}")
        content = path.read_bytes()
    except OSError as error:
        raise _refused(path, (error.strerror or str(error)).lower()) from error
    return parse(path, content)


def parse(path: Path, content: bytes) -> ModelFile:
    """Check the bytes of a model file and return them with its metadata.

    path: names the file in errors; it is not read.

    Raises ActionNeeded if the bytes are damaged or not a model of gdwatch.
    """
    try:
        tensors = dict(safetensors.deserialize(content))  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise _refused(path, f"not a whole safetensors file ({error})") from error
    for name, tensor in tensors.items():
        if tensor["dtype"] not in ("F32", "F16", "I8"):
            raise _refused(path, f"tensor {name} is {tensor['dtype']}, not F32, F16 or I8")
        if tensor["dtype"] == "I8" and name + SCALE not in tensors:
            raise _refused(path, f"tensor {name} is I8, but there is no {name}{SCALE}")
    return ModelFile(
        path=path,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        details=_details(path, content),
        shapes={name: tuple(tensor["shape"]) for name, tensor in tensors.items()},
    )


def layout(models: Sequence[Details], crop: Crop) -> Reduction:
    """Return how workers reduce a photograph for the networks of a model, or of a cascade.

    The first model of a cascade decides, as it judges most photographs.
    """
    details = models[0]
    size = details.classifier.input
    if details.locator is None or details.preprocessing.margin is None or crop == "whole":
        return Reduction(size, whole=True)
    # With this length, the smallest face that the locator can find still nearly fills the
    # classifier's input, as far as the file has the pixels.
    smallest = details.preprocessing.smallest_face / details.locator.input
    length = size / (details.preprocessing.margin * smallest * _ENLARGEMENT)
    closer = 0 if details.closer is None else _CLOSER * details.closer.input
    return Reduction(math.ceil(max(length, closer)), whole=False)


def _details(path: Path, content: bytes) -> Details:
    # The header is a length in 8 bytes, little-endian, and that many bytes of JSON; `deserialize`
    # has checked both, but does not return the metadata.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = header.get("__metadata__", {}).get(METADATA_KEY)
    if text is None:
        raise _refused(path, f"no metadata `{METADATA_KEY}`, so not a model of gdwatch")
    try:
        # Python writes a measure without a value as NaN, which no database accepts as JSON.
        found = json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise _refused(path, f"metadata `{METADATA_KEY}` is no JSON ({error})") from error
    version = found.get("format") if isinstance(found, dict) else None
    if version not in FORMATS:
        known = " and ".join(map(str, FORMATS))
        raise _refused(path, f"model format {version}, this gdwatch reads {known}")
    try:
        return Details.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _refused(path, f"metadata {where}: {first['msg'].lower()}") from error


def _refused(path: Path, why: str) -> ActionNeeded:
    return ActionNeeded(
        f"model {path}: {why}", "set `model` to a file that `gdtrain export` has written"
    )
