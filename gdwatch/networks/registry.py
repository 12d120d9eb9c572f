"""The architectures that a model file may name."""

from gdwatch.networks.classifier import Classifier
from gdwatch.networks.locator import Locator
from gdwatch.networks.pooled import PooledClassifier
from gdwatch.networks.residual import EnsembleClassifier, ResidualClassifier
from gdwatch.networks.seed_classifier import SeedClassifier
from gdwatch.networks.two_inputs import TwoInputClassifier

ARCHITECTURES: dict[str, type[Classifier]] = {
    "residual": ResidualClassifier,
    "ensemble": EnsembleClassifier,
    "pooled": PooledClassifier,
    "seed": SeedClassifier,
    "two_inputs": TwoInputClassifier,
}
LOCATORS: dict[str, type[Locator]] = {"pyramid": Locator}
