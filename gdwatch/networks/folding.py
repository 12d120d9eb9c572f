"""Folds batch norms into convolutions, after training."""

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold(network: nn.Module) -> None:
    """Fold each batch norm into the convolution before it, in place: same outputs, less time.

    A batch norm is folded where its parent module holds it directly after the convolution. The
    network is then in evaluation mode and cannot be trained any more.
    """
    network.eval()
    for module in network.modules():
        for (convolution_name, convolution), (norm_name, norm) in pairwise(
            list(module.named_children())
        ):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, convolution_name, fuse_conv_bn_eval(convolution, norm))
                setattr(module, norm_name, nn.Identity())
