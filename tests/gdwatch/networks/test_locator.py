import torch

from gdwatch.networks.folding import fold
from gdwatch.networks.locator import Locator


def test_a_folded_locator_says_the_same() -> None:
    torch.manual_seed(0)
    locator = Locator(stem=8, widths=(8, 16, 16), blocks=(0, 1, 1), head=8, threshold=0.5)
    for _ in range(3):  # statistics of the norms that are not those of the beginning
        locator(torch.randint(0, 256, (4, 3, 160, 160), dtype=torch.uint8))
    seen = torch.randint(0, 256, (2, 3, 160, 160), dtype=torch.uint8)
    with torch.inference_mode():
        before = locator.eval()(seen)
        fold(locator)
        assert torch.allclose(locator(seen), before, atol=1e-4)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in locator.modules())
