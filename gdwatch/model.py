"""The networks of a model file, ready to run; and how the trainer writes such a file."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.model_file import METADATA_KEY, Details, ModelFile, Network
from gdwatch.network import ARCHITECTURES, Classifier

CLASSIFIER = "classifier."


@dataclass(frozen=True, slots=True)
class Model:
    """A classifier in evaluation mode on the CPU, and what its file says of it."""

    classifier: Classifier
    details: Details
    sha256: str


def build(network: Network, details: Details) -> Classifier:
    """Make the untrained network that a file describes.

    Raises ActionNeeded if this gdwatch does not know the architecture or its arguments.
    """
    architecture = ARCHITECTURES.get(network.arch)
    if architecture is None:
        raise ActionNeeded(
            f"model {details.name}: unknown architecture {network.arch}",
            f"this gdwatch knows {', '.join(ARCHITECTURES)}; install a newer one",
        )
    preprocessing = details.preprocessing
    try:
        return architecture(
            **network.arguments, mean=preprocessing.mean, std=preprocessing.std
        ).eval()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ActionNeeded(
            f"model {details.name}: {network.arch} cannot be built: {error}",
            "export it again with `gdtrain export`",
        ) from error


def load(file: ModelFile) -> Model:
    """Build the classifier and give it the file's weights.

    Raises ActionNeeded if names or shapes differ from what the architecture has.
    """
    details = file.details
    with torch.device("meta"):  # costs nothing, however large the file says that it is
        wanted = build(details.classifier, details).state_dict()
    expected = {CLASSIFIER + name: tuple(tensor.shape) for name, tensor in wanted.items()}
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    for name in sorted((expected.keys() - counters) ^ file.shapes.keys()):
        what = "is missing" if name in expected else "does not belong there"
        raise _differs(file, f"tensor {name} {what}")
    for name, shape in file.shapes.items():
        if shape != expected[name]:
            raise _differs(file, f"tensor {name} has shape {shape}, expected {expected[name]}")
    tensors = safetensors.torch.load(file.content)
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise _differs(file, f"tensor {name} holds values that are not finite")
    network = build(details.classifier, details)
    weights = {name.removeprefix(CLASSIFIER): tensor for name, tensor in tensors.items()}
    network.load_state_dict(weights, strict=False)
    return Model(network, details, file.sha256)


def save(path: Path, classifier: nn.Module, details: Details) -> None:
    """Write a model file, whole or not at all. Raises GdwatchError."""
    tensors: dict[str, Tensor] = {
        CLASSIFIER + name: tensor.detach().float().contiguous().cpu()
        for name, tensor in classifier.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    metadata: dict[str, Any] = details.model_dump(mode="json")
    content = safetensors.torch.save(tensors, {METADATA_KEY: json.dumps(metadata)})
    aside = path.with_name(path.name + ".part")
    try:
        aside.write_bytes(content)
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise GdwatchError(
            f"{path}: could not be written ({error.strerror})", "make room, or name another file"
        ) from error


def _differs(file: ModelFile, why: str) -> ActionNeeded:
    return ActionNeeded(
        f"model {file.path}: {why}", "the file is damaged; export it again with `gdtrain export`"
    )
