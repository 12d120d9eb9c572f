"""Pictures at the size of an epoch, and changed at random: a batch at a time, on the CPU."""

import math

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from train.recipe import Augmentation

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's mode L


def at_size(photos: Tensor, size: int) -> Tensor:
    """Shrink squares.

    photos: uint8 (B, 3, S, S), RGB, S ≥ size.

    Returns uint8 (B, 3, size, size).
    """
    if photos.shape[-1] == size:
        return photos
    # antialias, as Pillow does in the service: without it the scores shift.
    return F.interpolate(photos, size=(size, size), mode="bilinear", antialias=True)


def augment(photos: Tensor, how: Augmentation) -> Tensor:
    """Mirror, turn, zoom, shift, lighten and grey each picture by its own dice.

    photos: uint8 (B, 3, S, S), RGB.

    Returns float32 (B, 3, S, S), about 0 to 255; what lies outside repeats the edge.
    """
    x = _recoloured(photos.float().contiguous(), how)
    grid = F.affine_grid(_affine(len(x), how), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _affine(count: int, how: Augmentation) -> Tensor:
    """Where each result looks into its picture: (count, 2, 3), coordinates from -1 to 1."""
    angle = _spread(count) * math.radians(how.degrees)
    zoom = torch.exp(_spread(count) * math.log(how.zoom))
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = 2 * how.shift * torch.stack((_spread(count), _spread(count)), 1)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    turn = torch.stack((torch.stack((cos * mirror, -sin), 1),
                        torch.stack((sin * mirror, cos), 1)), 1)  # fmt: skip
    return torch.cat((turn, shift[:, :, None]), 2)


def _recoloured(x: Tensor, how: Augmentation) -> Tensor:
    count = len(x)
    grey = (x * torch.tensor(_LUMA).view(3, 1, 1)).sum(1, keepdim=True)
    x = torch.where((torch.rand(count) < how.grey).view(count, 1, 1, 1), grey, x)
    mean = grey.mean((1, 2, 3)).view(count, 1, 1, 1)
    contrast = 1 + how.contrast * _spread(count).view(count, 1, 1, 1)
    brightness = 255 * how.brightness * _spread(count).view(count, 1, 1, 1)
    return (x * contrast + (mean * (1 - contrast) + brightness)).clamp_(0, 255)


def _spread(count: int) -> Tensor:
    """Evenly from -1 to 1, (count,)."""
    return 2 * torch.rand(count) - 1
