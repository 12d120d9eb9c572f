import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gdwatch.inference.detection import overlap
from gdwatch.values import Box
from train.detection.false_faces import Look, mine


class Spots(nn.Module):
    """Takes bright spots for faces of 32 pixels: the brighter, the surer."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, photos: Tensor) -> Tensor:
        bright = nn.functional.max_pool2d(photos.float().mean(1, keepdim=True), 8)
        nothing = torch.zeros_like(bright).expand(-1, 4, -1, -1)
        return torch.cat((bright / 25 - 6, nothing), 1)


LOOK = Look(Spots(), 160)  # type: ignore[arg-type]


def photo(spots: list[tuple[int, int, int]]) -> np.ndarray:
    grey = np.zeros((160, 160, 3), np.uint8)
    for x, y, brightness in spots:
        grey[y - 2 : y + 2, x - 2 : x + 2] = brightness
    return grey


def test_what_is_no_face_is_mined_and_what_is_near_one_is_not() -> None:
    seen = photo([(36, 36, 255), (116, 116, 200), (36, 124, 255)])
    found = mine(seen, [LOOK], [Box(26, 26, 20, 20)], 9)
    assert [overlap(each.box, box) > 0.5 for each, box in zip(
        found, (Box(20, 108, 32, 32), Box(100, 100, 32, 32)), strict=True
    )] == [True, True]  # fmt: skip
    assert found[0].score > found[1].score


def test_the_surest_mistakes_of_both_looks_are_kept_each_once() -> None:
    seen = photo([(36, 36, 255), (116, 116, 240), (36, 124, 230)])
    found = mine(seen, [LOOK, LOOK], [], 2)
    assert len(found) == 2
    assert found[0].score > found[1].score


def test_a_doubtful_face_is_mined_only_where_the_first_look_doubts() -> None:
    seen = photo([(36, 36, 115)])  # a score of about 0.2
    assert len(mine(seen, [LOOK], [], 9)) == 1
    assert mine(seen, [LOOK], [], 9)[0].score == pytest.approx(0.2, abs=0.05)
    assert mine(photo([(36, 36, 60)]), [LOOK], [], 9) == []
