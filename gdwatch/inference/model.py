"""Builds the networks of a model file, and writes model files, for the trainer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from gdwatch.errors import ActionNeeded, GdwatchError
from gdwatch.files.atomic_write import replacing_durably
from gdwatch.inference import eight_bits
from gdwatch.inference.model_file import METADATA_KEY, SCALE, Details, ModelFile, Network
from gdwatch.networks.classifier import Classifier
from gdwatch.networks.locator import Locator
from gdwatch.networks.quantised import ranged
from gdwatch.networks.registry import ARCHITECTURES, LOCATORS

CLASSIFIER = "classifier."
LOCATOR = "locator."
CLOSER = "closer."
Built = TypeVar("Built", bound=nn.Module)


@dataclass(frozen=True, slots=True)
class Model:
    """The networks of a model file, in evaluation mode on the CPU, with its metadata.

    closer: the locator of the second look; None: there is only one look.
    """

    locator: Locator | None
    classifier: Classifier
    details: Details
    sha256: str
    closer: Locator | None = None

    @property
    def is_ranged(self) -> bool:
        """Whether ranges are known for all networks, so that they can compute in 8-bit integers."""
        described = (self.details.classifier, self.details.locator, self.details.closer)
        return all(each is None or each.ranges is not None for each in described)


def build_classifier(network: Network, details: Details) -> Classifier:
    """Make the untrained classifier that a file describes.

    Raises ActionNeeded if this gdwatch does not know the architecture or its arguments.
    """
    colour = details.preprocessing
    return _build(ARCHITECTURES, network, details, {"mean": colour.mean, "std": colour.std})


def build_locator(network: Network, details: Details) -> Locator:
    """Make the untrained locator that a file describes. Raises as `build_classifier`."""
    return _build(LOCATORS, network, details, {})


def _build(
    known: Mapping[str, type[Built]], network: Network, details: Details, more: Mapping[str, Any]
) -> Built:
    architecture = known.get(network.arch)
    if architecture is None:
        raise ActionNeeded(
            f"model {details.name}: unknown architecture {network.arch}",
            f"this gdwatch knows {', '.join(known)}; install a newer one",
        )
    try:
        return architecture(**network.arguments, **more).eval()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ActionNeeded(
            f"model {details.name}: {network.arch} cannot be built: {error}",
            "export it again with `gdtrain export`",
        ) from error


def load(file: ModelFile) -> Model:
    """Build the networks and give them the file's weights.

    Raises ActionNeeded if an architecture is unknown or cannot be built, if names, shapes or ranges
    differ from what it has, or if a weight is not finite.
    """
    with torch.device("meta"):  # allocates nothing, whatever sizes the file claims
        _require_same_shapes(file, _networks(file.details))
    tensors = eight_bits.floats(safetensors.torch.load(file.content))
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise _differs(file, f"tensor {name} holds values that are not finite")
    networks = _networks(file.details)
    _require_same_ranges(file, networks)
    for prefix, network in networks.items():
        weights = {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        network.load_state_dict(weights, strict=False)
    locator, closer = networks.get(LOCATOR), networks.get(CLOSER)
    classifier = networks[CLASSIFIER]
    assert isinstance(classifier, Classifier)
    assert locator is None or isinstance(locator, Locator)
    assert closer is None or isinstance(closer, Locator)
    return Model(locator, classifier, file.details, file.sha256, closer)


def _networks(details: Details) -> dict[str, nn.Module]:
    """Return the untrained networks of a file, by the prefix of their tensors' names."""
    networks: dict[str, nn.Module] = {CLASSIFIER: build_classifier(details.classifier, details)}
    if details.locator is not None:
        networks[LOCATOR] = build_locator(details.locator, details)
    if details.closer is not None:
        networks[CLOSER] = build_locator(details.closer, details)
    return networks


def _require_same_shapes(file: ModelFile, networks: Mapping[str, nn.Module]) -> None:
    expected = {
        prefix + name: tuple(tensor.shape)
        for prefix, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    expected |= {
        name: shape[:1]
        for name in file.shapes
        if (shape := expected.get(name.removesuffix(SCALE))) and name.endswith(SCALE)
    }
    for name in sorted((expected.keys() - counters) ^ file.shapes.keys()):
        what = "is missing" if name in expected else "does not belong there"
        raise _differs(file, f"tensor {name} {what}")
    for name, shape in file.shapes.items():
        if shape != expected[name]:
            raise _differs(file, f"tensor {name} has shape {shape}, expected {expected[name]}")


def _require_same_ranges(file: ModelFile, networks: Mapping[str, nn.Module]) -> None:
    described = {
        CLASSIFIER: file.details.classifier,
        LOCATOR: file.details.locator,
        CLOSER: file.details.closer,
    }
    for prefix, network in networks.items():
        description = described[prefix]
        if description is None or description.ranges is None:
            continue
        expected = set(ranged(network))
        for name in sorted(expected ^ description.ranges.keys()):
            what = "is missing" if name in expected else "does not belong there"
            raise _differs(file, f"range {prefix}{name} {what}")


def save(path: Path, networks: Model, dtype: torch.dtype = torch.float32) -> None:
    """Write a model file atomically. Raises GdwatchError if it cannot be written.

    networks: with their metadata; their `sha256` does not count.
    dtype: of the tensors in the file; float16 takes half the room, int8 a quarter. `load` makes
    them float32.
    """
    details = networks.details
    named: dict[str, nn.Module | None] = {
        CLASSIFIER: networks.classifier,
        LOCATOR: networks.locator,
        CLOSER: networks.closer,
    }
    floats: dict[str, Tensor] = {
        prefix + name: tensor.detach().contiguous().cpu()
        for prefix, network in named.items()
        if network is not None
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    if dtype is torch.int8:
        tensors = eight_bits.stored(floats)
    else:
        tensors = {name: tensor.to(dtype) for name, tensor in floats.items()}
    metadata: dict[str, Any] = details.model_dump(mode="json")
    content = safetensors.torch.save(tensors, {METADATA_KEY: json.dumps(metadata)})
    try:
        with replacing_durably(path) as aside:
            aside.write_bytes(content)
    except OSError as error:
        raise GdwatchError(
            f"{path}: could not be written ({error.strerror})", "make room, or name another file"
        ) from error


def _differs(file: ModelFile, why: str) -> ActionNeeded:
    return ActionNeeded(
        f"model {file.path}: {why}", "the file is damaged; export it again with `gdtrain export`"
    )
