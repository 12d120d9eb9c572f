"""The trial of a card, at the start: whether it answers as the plain way does.

The plain way: crops cut by the processor, one batch after the other, the layers one by one.
"""

import numpy as np
import torch
from torch import Tensor

from gdwatch.cuda.batched import resized_together
from gdwatch.cuda.cuda_predictor import Begun, CudaPredictor
from gdwatch.cuda.streams import pin, pinned, require_alive
from gdwatch.decode.reduce import Pixels
from gdwatch.inference import crop
from gdwatch.inference.crop_geometry import Square, square_of
from gdwatch.inference.detection import scores_and_boxes, thumbnails
from gdwatch.inference.device import fetched, moved
from gdwatch.inference.predictor import PlainPredictor, Predictor, warn_fallback
from gdwatch.values import Box

_APART = 1.0  # pixels of the thumbnail by which a box may differ from the plain one
_LIKELIEST = 4  # places on a thumbnail whose boxes are compared
_LEVELS = 2  # by which a pixel of a crop may differ
_SIZES = ((640, 480), (90, 200), (200, 90), (48, 48), (1, 3))  # widths and heights, pixels


def on_card(predictor: PlainPredictor, slots: Pixels, doubt: float) -> Predictor:
    """What judges on an engine's card: a `CudaPredictor` if that passes its trial, else the engine.

    slots: the memory of all of them.
    doubt: as for `CudaPredictor`; by as much may probabilities differ.

    Raises RuntimeError if the card can do nothing any more in this process.
    """
    torch.backends.cudnn.allow_tf32 = False  # convolutions that are meant to be exact would not be
    try:
        pin(slots, predictor.device)
        card = CudaPredictor(predictor, doubt)
        _try(card, predictor, doubt)
    except (RuntimeError, Differs) as error:
        warn_fallback(predictor.device, repr(error))
        require_alive(predictor.device)
        return predictor
    return card


class Differs(Exception):  # noqa: N818 - of two answers
    """What the card answers is not what the plain way answers."""


@torch.inference_mode()
def _try(card: CudaPredictor, predictor: PlainPredictor, doubt: float) -> None:
    """Judge made pictures, two batches under way at once; what is recorded is recorded here.

    Raises Differs if the plain way gives other answers, and whatever the device raises.
    """
    sizes = _SIZES if predictor.locator else [(predictor.side,) * 2]
    batches = [
        card.enqueue([pinned(_picture(turn, *size), predictor.device) for size in sizes])
        for turn in range(card.depth)
    ]
    for begun in batches:
        begun.wait()
        _compare_locator(begun, predictor, doubt)
        _compare_classifier(begun, card, predictor, doubt)


def _compare_locator(begun: Begun, predictor: PlainPredictor, doubt: float) -> None:
    if begun.answer is None or predictor.locator is None:
        return
    batch = moved(thumbnails(begun.photos, predictor.thumbnail), predictor.device)
    plain = predictor.locator(batch.permute(0, 3, 1, 2)).cpu()
    scores, boxes = scores_and_boxes(begun.answer[: len(plain)])
    plain_scores, plain_boxes = scores_and_boxes(plain)
    _require("scores of faces", scores, plain_scores, doubt)
    cells = plain_scores.topk(_LIKELIEST, 1).indices[:, :, None].expand(-1, -1, 4)
    _require("boxes", boxes.gather(1, cells), plain_boxes.gather(1, cells), _APART)


def _compare_classifier(
    begun: Begun, card: CudaPredictor, predictor: PlainPredictor, doubt: float
) -> None:
    squares: list[Square] = []
    cut: list[Pixels] = []
    for photo in begun.photos:
        height, width = photo.shape[:2]
        box = Box(width * 0.6, height * 0.3, width * 0.5, height * 0.4)  # beyond the edge, too
        squares.append(square_of(box, predictor.margin, predictor.side, width, height))
        cut.append(crop.face(photo, box, predictor.margin, predictor.side))
    plain = np.stack(cut)
    with card.stream.active():
        cut_there = resized_together(begun.uploaded, squares, predictor.side)
        pixels = fetched(cut_there.permute(0, 2, 3, 1).contiguous())
        exact = fetched(card.p_male(predictor.exact, cut_there))
    p_male = [p for p, _ in card.faces(begun.uploaded, squares)]  # waits for all of it
    plain_p_male = torch.tensor(predictor.classify(plain)[0])
    _require("pixels", pixels.float(), torch.from_numpy(plain).float(), _LEVELS)
    _require("probabilities", torch.tensor(p_male), plain_p_male, doubt)
    _require("probabilities in float32", exact, plain_p_male, doubt)


def _picture(turn: int, width: int, height: int) -> Pixels:
    """A soft pattern, another one for each turn and size: uint8 (H, W, 3)."""
    down, across = np.ogrid[0 : height / 40 : height * 1j, 0 : width / 40 : width * 1j]
    waves = [np.sin((turn + 2) * across + tone) * np.cos(down - tone * across) for tone in range(3)]
    return (127.5 + 127 * np.stack(waves, 2)).astype(np.uint8)


def _require(what: str, found: Tensor, plain: Tensor, most: float) -> None:
    apart = float((found - plain).abs().max())
    if not apart <= most:  # it may be no number
        raise Differs(f"{what} differ by {apart:.3g}")
