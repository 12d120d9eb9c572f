"""The weights that a training run begins with."""

import hashlib
from pathlib import Path

import torch
from torch import nn

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.inference import model, model_file
from gdwatch.networks.classifier import Classifier
from gdwatch.networks.pooled import PooledClassifier
from gdwatch.networks.two_inputs import TwoInputClassifier
from train.fitting.recipe import Recipe
from train.fitting.surroundings_classifier import SurroundingsClassifier
from train.published import dlib, imagenet

DLIB, IMAGENET = ".dat", ".pth"
_NEEDED = {DLIB: "pooled", IMAGENET: "surroundings"}  # the network that published weights are for


def find(start: Path, recipe: Recipe) -> Path:
    """The file that `--start` names: published weights, a model file, or a shipped model by name.

    Raises UsageError if it is not for the recipe's network.
    """
    needed = _NEEDED.get(start.suffix, recipe.network.arch)
    if recipe.network.arch != needed:
        raise UsageError(
            f"the recipe's network is {recipe.network.arch}",
            f"leave --start out, or use a recipe with a {needed} network",
        )
    return start if start.suffix in _NEEDED else model_file.find(str(start))


def sha256_of(start: Path) -> str:
    """The file's SHA-256, in hexadecimal. Raises GdwatchError."""
    try:
        return hashlib.sha256(start.read_bytes()).hexdigest()
    except OSError as error:
        raise GdwatchError(f"{start}: {error.strerror}", "name another file") from error


def load(network: Classifier, start: Path, recipe: Recipe) -> None:
    """Load initial weights: published ones, or those of a model file with the same network.

    A network that tells nobody may begin with one that does not; of one with two inputs, it begins
    with the face's part.

    Raises GdwatchError.
    """
    if start.suffix == DLIB:
        dlib.load_weights(network, start)
        return
    if isinstance(network, SurroundingsClassifier) and start.suffix == IMAGENET:
        assert recipe.mean is not None  # it is checked in the recipe
        assert recipe.std is not None
        imagenet.load_weights(network.surroundings, start, recipe.mean, recipe.std)
        return
    classifier: nn.Module = model.load(model_file.read(start)).classifier
    if isinstance(classifier, TwoInputClassifier):
        classifier = classifier.face
    weights = classifier.state_dict()
    if isinstance(network, PooledClassifier) and isinstance(classifier, PooledClassifier):
        _add_nobody(network, weights)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise UsageError(
            f"{start}: its network is not the recipe's", "name a model of the same recipe"
        ) from error


def _add_nobody(network: PooledClassifier, weights: dict[str, torch.Tensor]) -> None:
    """Add the network's own last row to a head that tells nothing of nobody."""
    own = network.head
    if own.out_features == len(weights["head.bias"]) + 1:
        weights["head.weight"] = torch.cat((weights["head.weight"], own.weight[-1:]))
        weights["head.bias"] = torch.cat((weights["head.bias"], own.bias[-1:]))
