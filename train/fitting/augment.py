"""Augmentation: random changes of the pictures of a batch, on their device.

The random parameters are always drawn on the CPU and for the whole batch, so that they are the same
on every device and for any number of processes.
"""

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from train.fitting.recipe import Augmentation

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in Pillow's mode L


@dataclass(frozen=True, slots=True)
class AugmentationParameters:
    """How each picture of a batch is changed; all float32.

    affine: (B, 2, 3), from coordinates of the result to those of the picture, -1 to 1.
    contrast, brightness: (B,), factor and summand; grey: (B,), 1 for no colour, else 0.
    coarse: (B,), 1 for less resolution, else 0; factor: (B,), the share of it, the same for all.
    hidden: (B, 4), left, top, right and bottom of a rectangle, 0 to 1; colour: (B, 3), 0 to 255.
    """

    affine: Tensor
    contrast: Tensor
    brightness: Tensor
    grey: Tensor
    coarse: Tensor
    factor: Tensor
    hidden: Tensor
    colour: Tensor

    def select(self, which: slice) -> "AugmentationParameters":
        """The parameters of some of the pictures."""
        return AugmentationParameters(*(getattr(self, field.name)[which] for field in fields(self)))


def draw_parameters(count: int, how: Augmentation) -> AugmentationParameters:
    """Draw the parameters of a batch: mirror, turn, zoom, shift, colour, resolution, occlusion."""
    return AugmentationParameters(
        affine=_affine(count, how),
        contrast=1 + how.contrast * _spread(count),
        brightness=255 * how.brightness * _spread(count),
        grey=(torch.rand(count) < how.grey).float(),
        coarse=(torch.rand(count) < how.coarse).float(),
        factor=torch.empty(1).uniform_(0.3, 0.8).expand(count),
        hidden=_hidden(count, how),
        colour=torch.rand(count, 3) * 255,
    )


def augment(
    photos: Tensor, parameters: AugmentationParameters, how: Augmentation, size: int
) -> Tensor:
    """Change each picture by its parameters.

    photos: uint8 (B, 3, H, W), RGB, on any device; where H > size, with a rim that only comes into
    view where a picture is shifted, turned or made smaller.

    Returns float32 (B, 3, size, size * W / H), about 0 to 255, on the same device; pixels outside a
    picture repeat its edge or are black, as the recipe says.
    """
    height, width = photos.shape[-2:]
    shape = [len(photos), 3, size, round(size * width / height)]
    x = _recoloured(photos.float().contiguous(), parameters)
    look = parameters.affine.to(x.device) * (size / height)
    if height != width:  # both sides of a picture go from -1 to 1, whatever its shape
        aspect = torch.tensor([[1.0, height / width, 1.0], [width / height, 1.0, 1.0]])
        look = look * aspect.to(x.device)
    grid = F.affine_grid(look, shape, align_corners=False)
    padding = "zeros" if how.outside == "black" else "border"
    x = F.grid_sample(x, grid, how.interpolation, padding, align_corners=False)
    if how.coarse:
        x = _coarse(x, parameters)
    return _covered(x, parameters) if how.hidden else x


def _coarse(x: Tensor, parameters: AugmentationParameters) -> Tensor:
    """Downsample and upsample, as small and blurred faces look."""
    height, width = (max(8, round(n * parameters.factor[0].item())) for n in x.shape[-2:])
    less = F.interpolate(x, size=(height, width), mode="bilinear", antialias=True)
    less = F.interpolate(less, size=x.shape[-2:], mode="bilinear")
    return torch.where(parameters.coarse.to(x.device).view(-1, 1, 1, 1) > 0, less, x)


def _covered(x: Tensor, parameters: AugmentationParameters) -> Tensor:
    """Random erasing: a rectangle of one colour, as something before the face."""
    rows, columns = ((torch.arange(count, device=x.device) + 0.5) / count for count in x.shape[-2:])
    left, top, right, bottom = parameters.hidden.to(x.device).unbind(1)
    across = (columns >= left[:, None]) & (columns < right[:, None])
    down = (rows >= top[:, None]) & (rows < bottom[:, None])
    colour = parameters.colour.to(x.device).view(-1, 3, 1, 1)
    return torch.where((down[:, :, None] & across[:, None, :])[:, None], colour, x)


def _hidden(count: int, how: Augmentation) -> Tensor:
    sides = 1 / 6 + torch.rand(count, 2) / 3
    corner = torch.rand(count, 2) * (1 - sides)
    covered = (torch.rand(count, 1) < how.hidden).float()
    return torch.cat((corner, corner + sides), 1) * covered


def _affine(count: int, how: Augmentation) -> Tensor:
    angle = _spread(count) * math.radians(how.degrees)
    zoom = torch.exp(_spread(count) * math.log(how.zoom))
    mirror = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = 2 * how.shift * torch.stack((_spread(count), _spread(count)), 1)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    turn = torch.stack((torch.stack((cos * mirror, -sin), 1),
                        torch.stack((sin * mirror, cos), 1)), 1)  # fmt: skip
    return torch.cat((turn, shift[:, :, None]), 2)


def _recoloured(x: Tensor, parameters: AugmentationParameters) -> Tensor:
    def each(values: Tensor) -> Tensor:
        return values.to(x.device).view(-1, 1, 1, 1)

    luma = (x * torch.tensor(_LUMA, device=x.device).view(3, 1, 1)).sum(1, keepdim=True)
    mean, contrast = luma.mean((1, 2, 3), keepdim=True), each(parameters.contrast)
    x = torch.lerp(x, luma.expand_as(x), each(parameters.grey))
    return (x * contrast + (mean * (1 - contrast) + each(parameters.brightness))).clamp_(0, 255)


def _spread(count: int) -> Tensor:
    """Uniform random numbers from -1 to 1, (count,)."""
    return 2 * torch.rand(count) - 1
