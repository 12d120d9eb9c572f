"""The published weights are 14 MB and not in the project: a file of their form is."""

from pathlib import Path

import pytest
import torch
from torchvision.models import MobileNetV2

from gdwatch.errors import GdwatchError
from gdwatch.networks.surroundings import SurroundingsNetwork
from train.published import imagenet

SETTING = [[6, 16, 1, 1], [6, 24, 2, 2], [6, 40, 1, 1]]
STAGES = [(1, 16, 1, 1), (6, 24, 2, 2)]
MEAN, STD = (0.4, 0.5, 0.3), (1.0, 0.9, 1.1)


@pytest.fixture
def published(tmp_path: Path) -> tuple[MobileNetV2, Path]:
    """One more stage than is used, and its statistics are not those of an untrained one."""
    torch.manual_seed(0)
    network = MobileNetV2(inverted_residual_setting=[[1, 16, 1, 1], *SETTING[1:]]).train()
    for _ in range(3):
        network(torch.randn(4, 3, 32, 32) + 1)
    torch.save(network.eval().state_dict(), tmp_path / "mobilenet.pth")
    return network, tmp_path / "mobilenet.pth"


def test_the_first_stages_answer_as_the_published_network_does(
    published: tuple[MobileNetV2, Path],
) -> None:
    network, path = published
    begun = SurroundingsNetwork(stem=32, stages=STAGES, head=8).eval()
    imagenet.load_weights(begun, path, MEAN, STD)
    pixels = torch.rand(2, 3, 64, 48)
    seen = (pixels - torch.tensor(imagenet.MEAN).view(3, 1, 1)) / torch.tensor(imagenet.STD).view(
        3, 1, 1
    )
    normalised = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.inference_mode():
        wanted = network.features[0](seen)
        found = begun.features[0](normalised)
    # But for the border, where the padding has another colour.
    assert torch.allclose(found[:, :, 1:, 1:].clamp(max=6), wanted[:, :, 1:, 1:], atol=1e-4)
    own, theirs = begun.features.state_dict(), network.features.state_dict()
    assert torch.equal(own["3.conv.1.0.weight"], theirs["3.conv.1.0.weight"])


def test_another_network_or_no_file_is_refused(
    published: tuple[MobileNetV2, Path], tmp_path: Path
) -> None:
    other = SurroundingsNetwork(stem=16, stages=STAGES, head=8)
    with pytest.raises(GdwatchError, match="no weights of MobileNetV2 for this network"):
        imagenet.load_weights(other, published[1], MEAN, STD)
    deeper = SurroundingsNetwork(stem=32, stages=[*STAGES, (6, 40, 3, 1)], head=8)
    with pytest.raises(GdwatchError, match="no weights of MobileNetV2"):
        imagenet.load_weights(deeper, published[1], MEAN, STD)
    with pytest.raises(GdwatchError, match="no weights of MobileNetV2"):
        imagenet.load_weights(other, tmp_path / "none.pth", MEAN, STD)
