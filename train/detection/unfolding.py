"""Begin a locator's training with the weights of a finished one, whose batch norms are folded."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gdwatch.errors import UsageError
from gdwatch.networks.locator import Locator


@torch.no_grad()
def unfold(network: Locator, finished: Locator, thumbnails: Tensor) -> None:
    """Give `network` the weights of `finished`, so that both answer alike at first.

    network: with batch norms; it may have landmarks, and more blocks, which at first do nothing.
    finished: without batch norms.
    thumbnails: uint8 (B, 3, S, S), RGB, by which each batch norm gets its mean and variance.

    Raises UsageError if their layers differ in width.
    """
    known = finished.state_dict()
    wide = {name: weight.shape for name, weight in network.state_dict().items() if name in known}
    if any(shape[1:] != known[name].shape[1:] for name, shape in wide.items()):
        raise UsageError(
            "the locator to begin with has other widths than the recipe's network",
            "leave --start out, or give the recipe the same widths",
        )
    for name, own in network.state_dict().items():
        if name in known and own.shape == known[name].shape:
            own.copy_(known[name])
    for own, old in zip(network.out.parameters(), finished.out.parameters(), strict=True):
        own[: len(old)] = old
    handles = []
    for name, norm in network.named_modules():
        if not isinstance(norm, nn.BatchNorm2d):
            continue
        # The folded convolution, which has the place before the norm, has a bias.
        before, _, number = name.rpartition(".")
        bias = known.get(f"{before}.{int(number) - 1}.bias")
        handles.append(norm.register_forward_pre_hook(_measured(bias, is_first=".first." in name)))
    network.eval()
    network(thumbnails)
    for handle in handles:
        handle.remove()


def _measured(
    bias: Tensor | None, *, is_first: bool
) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    """A hook that gives a batch norm the statistics of what it sees.

    bias: of the folded convolution before it; None for a new block.
    is_first: whether it is the first norm of its block; the last one of a new block adds nothing.
    """

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        values = inputs[0]
        mean, variance = values.mean((0, 2, 3)), values.var((0, 2, 3), unbiased=False)
        norm.running_mean, norm.running_var = mean, variance
        if bias is None:  # of a block that `finished` lacks: nothing is added to its shortcut
            nn.init.constant_(norm.weight, 1 if is_first else 0)
            nn.init.zeros_(norm.bias)
            return
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean + bias)

    return measure
