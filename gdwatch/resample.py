"""Pixels made fewer or more for the networks: by torch, whose bytewise vectors beat Pillow's."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from gdwatch.shrink import Pixels


def resized(pixels: Pixels, height: int, width: int) -> Tensor:
    """Resize by the bilinear filter, which widens when it shrinks, as Pillow's does.

    pixels: uint8 (H, W, 3), RGB; a part of a photograph need not be copied.

    Returns uint8 (height, width, 3).
    """
    photo = torch.from_numpy(np.require(pixels, requirements="W"))
    # With these strides it is channels_last to torch, and so is what comes out: pixel by pixel.
    planes = photo[None].permute(0, 3, 1, 2)
    # Down first: across costs more, and then there are fewer rows. torch would begin with it.
    for shape in ((height, planes.shape[3]), (height, width)):
        planes = F.interpolate(planes, shape, mode="bilinear", antialias=True)
    return planes[0].permute(1, 2, 0)
