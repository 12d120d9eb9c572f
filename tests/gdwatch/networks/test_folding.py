from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gdwatch.networks.folding import fold
from gdwatch.networks.locator import Locator
from gdwatch.networks.residual import EnsembleClassifier, ResidualClassifier

COLOUR = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.2)}
SHAPE = {"stem": 8, "widths": (8, 16, 16), "blocks": (0, 1, 2)}
# The names of the convolutions, and of the norms that belong to them.
PAIRS = {"0": "1", "conv1": "norm1", "conv2": "norm2"}

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "residual": lambda **more: ResidualClassifier(**SHAPE, **COLOUR, **more),
    "ensemble": lambda **more: EnsembleClassifier(members=2, **SHAPE, **COLOUR, **more),
    "locator": lambda **more: Locator(**SHAPE, head=8, threshold=0.5, **more),
}


def learnt(kind: str) -> nn.Module:
    """A network whose batch norms no longer have their initial statistics and weights."""
    torch.manual_seed(0)
    network = NETWORKS[kind]()
    for _ in range(3):
        network.train()(photographs())
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    return network.eval()


def photographs() -> Tensor:
    return torch.randint(0, 256, (4, 3, 96, 96), dtype=torch.uint8)


def by_hand(network: nn.Module) -> dict[str, Tensor]:
    """The weights of a folded network: each pair fused, all others unchanged."""
    modules = dict(network.named_modules())
    weights = dict(network.state_dict())
    for name, convolution in modules.items():
        above, _, place = name.rpartition(".")
        prefix = f"{above}." if above else ""
        norm = modules.get(prefix + PAIRS.get(place, place))
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            for each in norm.state_dict():
                del weights[f"{prefix}{PAIRS[place]}.{each}"]
            fused = fuse_conv_bn_eval(convolution, norm).state_dict()
            weights |= {f"{name}.{each}": tensor for each, tensor in fused.items()}
    return weights


@pytest.mark.parametrize("kind", NETWORKS)
def test_each_norm_is_worked_into_its_own_convolution_to_the_bit(kind: str) -> None:
    network = learnt(kind)
    wanted = by_hand(network)
    fold(network)
    found = network.state_dict()
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_folded_network_says_the_same_and_fits_one_that_was_built_without_norms(
    kind: str,
) -> None:
    network, seen = learnt(kind), photographs()
    with torch.inference_mode():
        before = network(seen)
        fold(network)
        torch.testing.assert_close(network(seen), before, rtol=1e-4, atol=1e-4)
        bare = NETWORKS[kind](folded=True).eval()
        bare.load_state_dict(network.state_dict())
        assert torch.equal(bare(seen), network(seen))
    assert not any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
