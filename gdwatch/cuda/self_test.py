"""The self-test of a card, at the start: whether it gives the results of `PlainPredictor`.

`PlainPredictor` is the reference: the CPU cuts its crops, batches run one after the other, and
networks run layer by layer.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gdwatch.cuda.batched import resized_together
from gdwatch.cuda.cuda_predictor import Begun, CudaPredictor
from gdwatch.cuda.streams import pin, pinned, require_alive
from gdwatch.decode.reduce import Pixels
from gdwatch.inference import crop
from gdwatch.inference.crop_geometry import Crop, square_of
from gdwatch.inference.detection import scores_and_boxes, thumbnails
from gdwatch.inference.device import fetched, moved
from gdwatch.inference.faces import Judgement
from gdwatch.inference.predictor import PlainPredictor, Predictor, warn_fallback
from gdwatch.values import Box

_MAX_SHIFT = 1.0  # pixels of the thumbnail by which a box may differ
_COMPARED_CELLS = 4  # of each thumbnail, those of the highest scores, whose boxes are compared
_MAX_LEVELS = 2  # by which a pixel of a crop may differ
_SIZES = ((640, 480), (90, 200), (200, 90), (48, 48), (1, 3))  # widths and heights, pixels


def on_card(predictor: PlainPredictor, slots: Pixels, doubt: float) -> Predictor:
    """Return a `CudaPredictor` if that passes its self-test, else `predictor` itself.

    slots: the memory of all slots.
    doubt: as for `CudaPredictor`; probabilities may differ by as much.

    Raises RuntimeError if this process can no longer use the card.
    """
    torch.backends.cudnn.allow_tf32 = False  # it would make float32 convolutions inexact
    try:
        pin(slots, predictor.device)
        card = CudaPredictor(predictor, doubt)
        _run_self_test(card, predictor, doubt)
    except (RuntimeError, Differs) as error:
        warn_fallback(predictor.device, repr(error))
        require_alive(predictor.device)
        return predictor
    return card


class Differs(Exception):  # noqa: N818 - of two answers
    """The results of the card differ from those of `PlainPredictor`."""


@torch.inference_mode()
def _run_self_test(card: CudaPredictor, predictor: PlainPredictor, doubt: float) -> None:
    """Classify generated pictures, two batches at once; CUDA graphs are captured meanwhile.

    Raises Differs if `PlainPredictor` gives other results, and whatever the device raises.
    """
    sizes = _SIZES if predictor.finder else [(predictor.side,) * 2]
    batches = [
        card.enqueue([pinned(_picture(seed, *size), predictor.device) for size in sizes])
        for seed in range(card.depth)
    ]
    for begun in batches:
        begun.wait()
        _compare_locator(begun, predictor, doubt)
        _compare_classifier(begun, card, predictor, doubt)


def _compare_locator(begun: Begun, predictor: PlainPredictor, doubt: float) -> None:
    if begun.answer is None or predictor.finder is None:
        return
    look = predictor.finder.first
    batch = moved(thumbnails(begun.photos, look.side), predictor.device)
    plain = look.locator(batch.permute(0, 3, 1, 2)).cpu()
    scores, boxes = scores_and_boxes(begun.answer[: len(plain)])
    plain_scores, plain_boxes = scores_and_boxes(plain)
    _require("scores of faces", scores, plain_scores, doubt)
    cells = plain_scores.topk(_COMPARED_CELLS, 1).indices[:, :, None].expand(-1, -1, 4)
    _require("boxes", boxes.gather(1, cells), plain_boxes.gather(1, cells), _MAX_SHIFT)


def _compare_classifier(
    begun: Begun, card: CudaPredictor, predictor: PlainPredictor, doubt: float
) -> None:
    squares: list[Crop] = []
    cut: list[Pixels] = []
    for photo in begun.photos:
        height, width = photo.shape[:2]
        box = Box(width * 0.6, height * 0.3, width * 0.5, height * 0.4)  # beyond the edge, too
        squares.append(square_of(box, predictor.margin, predictor.side, width, height))
        cut.append(crop.face(photo, box, predictor.margin, predictor.side))
    plain = np.stack(cut)
    sizes = [0.0] * len(squares)
    with card.stream.active():
        cut_on_card = resized_together(begun.uploaded, squares, predictor.side)
        pixels = fetched(cut_on_card.permute(0, 2, 3, 1).contiguous())
        exact = fetched(predictor.exact(cut_on_card).float())
    judged = card.faces(begun.uploaded, squares, sizes)  # waits for all of it
    plain_judged = _probabilities(predictor.classify(plain)[0])
    nothing = torch.zeros(len(squares))  # neither size nor sharpness of a whole photograph counts
    p_male = predictor.calibration.p_male(exact[:, 0], nothing, nothing)
    in_full = torch.stack((p_male, torch.sigmoid(exact[:, 1])), 1)
    _require("pixels", pixels.float(), torch.from_numpy(plain).float(), _MAX_LEVELS)
    _require("probabilities", _probabilities(judged), plain_judged, doubt)
    _require("probabilities in float32", in_full, plain_judged, doubt)


def _probabilities(judged: Sequence[Judgement]) -> Tensor:
    return torch.tensor([(each.p_male, each.p_nobody) for each in judged])


def _picture(seed: int, width: int, height: int) -> Pixels:
    """Return a soft pattern, different for each seed and size: uint8 (H, W, 3)."""
    down, across = np.ogrid[0 : height / 40 : height * 1j, 0 : width / 40 : width * 1j]
    waves = [np.sin((seed + 2) * across + tone) * np.cos(down - tone * across) for tone in range(3)]
    return (127.5 + 127 * np.stack(waves, 2)).astype(np.uint8)


def _require(what: str, found: Tensor, plain: Tensor, most: float) -> None:
    apart = float((found - plain).abs().max())
    if not apart <= most:  # also true of NaN
        raise Differs(f"{what} differ by {apart:.3g}")
