"""Turns the logit of a classifier into a probability that is right as often as it says.

Temperature scaling (Guo et al. 2017, arXiv:1706.04599), where the temperature also depends on how
well the face is seen: an answer for a small or blurred face is less often right at the same logit.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gdwatch.inference.model_file import Calibration

_SIZE = 32.0  # pixels of the longer side of a face for which the temperature is as it stands
_SIZES = -1.5, 2.5  # doublings of that between which the size counts
_SHARPNESS = 100.0
_SHARPNESSES = -2.0, 1.0  # powers of ten
_LEAST = 0.05  # of the factor: the likelier class stays the likelier one


def qualities(sizes: Tensor, sharpness: Tensor) -> tuple[Tensor, Tensor]:
    """Return how large and how sharp faces are, in the units of `Calibration`: float (B,) each.

    sizes: float (B,), longer sides in pixels; 0 for a whole photograph, whose size does not count.
    sharpness: float (B,), see `sharpness`.
    """
    size = torch.log2(sizes.clamp(min=1) / _SIZE).clamp(*_SIZES)
    sharp = torch.log10(sharpness.clamp(min=1e-3) / _SHARPNESS).clamp(*_SHARPNESSES)
    return torch.where(sizes > 0, size, 0.0), torch.where(sizes > 0, sharp, 0.0)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The calibration of a model. temperature: by which the logit is divided."""

    temperature: float
    calibration: Calibration

    def p_male(self, logits: Tensor, sizes: Tensor, sharpness: Tensor) -> Tensor:
        """Return the probability of `male`, float (B,).

        logits: float (B,), of `male`; sizes, sharpness: as for `qualities`.
        """
        return torch.sigmoid(logits * self.factor(sizes, sharpness))

    def factor(self, sizes: Tensor, sharpness: Tensor) -> Tensor:
        """Return by what the logit of each face is multiplied, float (B,)."""
        size, sharp = qualities(sizes, sharpness)
        factor = 1 + self.calibration.size * size + self.calibration.sharpness * sharp
        return factor.clamp(min=_LEAST) / self.temperature
