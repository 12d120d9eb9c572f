"""What published networks see of a face: turned upright and aligned, or with its surroundings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gdwatch.decode.reduce import Pixels
from gdwatch.values import Box
from train.detection.boxes import Face
from train.published import mobilenet

Points = NDArray[np.complex128]

SURROUNDINGS = 128, 208  # width and height of the crop of the surroundings, in pixels
_ACROSS = 4.0  # its width, in longer sides of the face
_LOWER = 1.7  # how far its centre is below the face's, in longer sides of the face
_OUTSIDE = tuple(round(255 * mean) for mean in mobilenet.MEAN)  # its colour outside the photograph

# Templates: eyes, nose and corners of the mouth as x + iy, in shares of the square's side. That of
# 112 pixels is the usual one of face recognition (Deng et al. 2019, arXiv:1801.07698); the other is
# dlib's mean face, round which dlib leaves a padding.
ARCFACE: Points = np.array([38.2946 + 51.6963j, 73.5318 + 51.5014j, 56.0252 + 71.7366j,
                            41.5493 + 92.3655j, 70.7299 + 92.2041j]) / (112 + 0j)  # fmt: skip
_MEAN_FACE = np.array([0.2255 + 0.2160j, 0.7548 + 0.2160j, 0.4901 + 0.5156j,
                       0.2541 + 0.7802j, 0.7261 + 0.7802j])  # fmt: skip


def mean_face(padding: float) -> Points:
    """The template of dlib's mean face, with a padding in shares of its side."""
    around: Points = (_MEAN_FACE + padding * (1 + 1j)) / (1 + 2 * padding)
    return around


def align(photo: Pixels, face: Face, template: Points, side: int) -> Pixels:
    """Align a face: by the similarity transform that brings its landmarks closest to a template's.

    photo: uint8 (H, W, 3), RGB; face: in its pixels.
    template: as shares of the side of the result.

    Returns uint8 (side, side, 3), RGB, black where the photograph ends.
    """
    marks = np.array(face.landmarks[0::2]) + 1j * np.array(face.landmarks[1::2])
    wanted = template * side
    apart = wanted - wanted.mean()
    # Least squares over complex numbers: pixel z of the result is turn * z + shift of the photo.
    turn = (apart.conj() * (marks - marks.mean())).sum() / (abs(apart) ** 2).sum()
    shift = marks.mean() - turn * wanted.mean()
    image = Image.fromarray(photo)
    scale = abs(turn)
    if scale > 1:  # downsample first, against aliasing: `transform` reads single pixels
        width, height = (max(1, round(length / scale)) for length in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
        turn, shift = turn / scale, shift / scale
    coefficients = (turn.real, -turn.imag, shift.real, turn.imag, turn.real, shift.imag)
    return np.asarray(
        image.transform(
            (side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
        )
    )


def surroundings(photo: Pixels, box: Box) -> Pixels:
    """Cut out a face with head, shoulders and body.

    photo: uint8 (H, W, 3), RGB; box: of the face, in its pixels.

    Returns uint8 (208, 128, 3), RGB, by `SURROUNDINGS`; in one colour where the photograph ends.
    """
    face = max(1.0, box.width, box.height)
    pixel = _ACROSS * face / SURROUNDINGS[0]
    width, height = SURROUNDINGS
    across = _within(box.x + box.width / 2, pixel, width, photo.shape[1])
    down = _within(box.y + box.height / 2 + _LOWER * face, pixel, height, photo.shape[0])
    cut = Image.new("RGB", SURROUNDINGS, _OUTSIDE)
    if across.begin < across.end and down.begin < down.end:
        size = across.stop - across.start, down.stop - down.start
        seen = across.begin, down.begin, across.end, down.end
        inside = Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR, seen)
        cut.paste(inside, (across.start, down.start))
    return np.asarray(cut)


@dataclass(frozen=True, slots=True)
class _Within:
    """What of a crop lies within the photograph, along one axis.

    start, stop: in pixels of the crop; begin, end: of the same, in pixels of the photograph.
    """

    start: int
    stop: int
    begin: float
    end: float


def _within(middle: float, pixel: float, length: int, limit: int) -> _Within:
    """Where a crop of `length` pixels, each as large as `pixel` of the photograph's, lies."""
    first = middle - length * pixel / 2
    start = min(max(round(-first / pixel), 0), length - 1)
    stop = min(max(round((limit - first) / pixel), start + 1), length)
    begin, end = (min(max(first + at * pixel, 0), limit) for at in (start, stop))
    return _Within(start, stop, begin, end)
