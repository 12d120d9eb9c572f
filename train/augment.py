"""Pictures at the size of an epoch, and changed at random: a batch at a time, on its device.

The dice are always thrown on the CPU and for the whole batch, so that they fall alike on every
device and however many processes share the batch.
"""

import math
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Dice:
    """What is to be done to each picture of a batch; all float32.

    affine: (B, 2, 3), where each result looks into its picture, coordinates from -1 to 1.
    contrast, brightness: (B,), factor and summand; grey: (B,), 1 for no colour, else 0.
    """

    affine: Tensor
    contrast: Tensor
    brightness: Tensor
    grey: Tensor

    def part(self, which: slice) -> "Dice":
        """Those of some pictures."""
        return Dice(
            self.affine[which], self.contrast[which], self.brightness[which], self.grey[which]
        )


def throw(count: int, how: Augmentation) -> Dice:
    """Throw the dice for a batch: mirror, turn, zoom, shift, lighten and grey each picture."""
    return Dice(
        affine=_affine(count, how),
        contrast=1 + how.contrast * _spread(count),
        brightness=255 * how.brightness * _spread(count),
        grey=(torch.rand(count) < how.grey).float(),
    )


def augment(photos: Tensor, dice: Dice, how: Augmentation) -> Tensor:
    """Change each picture as its dice say.

    photos: uint8 (B, 3, S, S), RGB, on any device.

    Returns float32 (B, 3, S, S), about 0 to 255, on the same device; what lies outside a picture
    repeats its edge or is black, as the recipe says.
    """
    x = _recoloured(photos.float().contiguous(), dice)
    grid = F.affine_grid(dice.affine.to(x.device), list(x.shape), align_corners=False)
    padding = "zeros" if how.outside == "black" else "border"
    return F.grid_sample(x, grid, how.interpolation, padding, align_corners=False)


def _affine(count: int, how: Augmentation) -> Tensor:
    angle = _spread(count) * math.radians(how.degrees)
    zoom = torch.exp(_spread(count) * math.log(how.zoom))
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = 2 * how.shift * torch.stack((_spread(count), _spread(count)), 1)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    turn = torch.stack((torch.stack((cos * mirror, -sin), 1),
                        torch.stack((sin * mirror, cos), 1)), 1)  # fmt: skip
    return torch.cat((turn, shift[:, :, None]), 2)


def _recoloured(x: Tensor, dice: Dice) -> Tensor:
    def each(values: Tensor) -> Tensor:
        return values.to(x.device).view(-1, 1, 1, 1)

    luma = (x * torch.tensor(_LUMA, device=x.device).view(3, 1, 1)).sum(1, keepdim=True)
    mean, contrast = luma.mean((1, 2, 3), keepdim=True), each(dice.contrast)
    x = torch.lerp(x, luma.expand_as(x), each(dice.grey))
    return (x * contrast + (mean * (1 - contrast) + each(dice.brightness))).clamp_(0, 255)


def _spread(count: int) -> Tensor:
    """Evenly from -1 to 1, (count,)."""
    return 2 * torch.rand(count) - 1
