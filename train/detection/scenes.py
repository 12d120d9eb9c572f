"""Compose the thumbnails that a locator is trained on: photographs cropped, scaled and pasted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from gdwatch.networks.locator import STRIDE
from train.detection.targets import Floats, targets

LONGEST = 288  # pixels of a kept photograph's longer side: a thumbnail may show half of it
_BESIDE = 128  # grey beside the picture, as in `detection.thumbnails` of the service
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_BILINEAR, _BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
_TURN = 25  # degrees, at most


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph to compose with.

    image: RGB, at most `LONGEST` pixels on a side.
    faces: float32 (F, 5): left, top, right, bottom in pixels of `image`, and the detector's score.
    """

    image: Image.Image
    faces: Floats


@dataclass(frozen=True, slots=True)
class Scene:
    """A thumbnail with the training targets of its cells, each of `STRIDE` pixels.

    thumbnail: uint8 (3, S, S), RGB.
    heat: float32 (S / 8, S / 8), the heat map: 1 at the centre of a face, less beside it.
    counts: float32 (S / 8, S / 8), 0 where the loss ignores a cell because its face is doubtful.
    boxes: float32 (4, S / 8, S / 8), as channels 1 to 4 of the locator's output.
    weight: float32 (S / 8, S / 8), weight of each cell in the loss of the boxes.
    """

    thumbnail: NDArray[np.uint8]
    heat: Floats
    counts: Floats
    boxes: Floats
    weight: Floats


@dataclass(frozen=True, slots=True)
class Stock:
    """The photographs that scenes are composed of.

    wide: photographs with faces and surroundings; one that is repeated is drawn more often.
    close: pictures that one face fills, for pasting.
    empty: photographs without a face.
    """

    wide: Sequence[Photograph]
    close: Sequence[Photograph]
    empty: Sequence[Photograph]


def compose(stock: Stock, side: int, rng: Generator) -> Scene:
    """Compose a scene of `side` pixels: without a face, of one photograph, or of pasted faces."""
    width, height = _shape(side, rng)
    kind = rng.random()
    faces: list[Floats] = []
    if kind < 0.24:
        image = _background(stock, width, height, rng)
    elif kind < 0.7:
        image, faces = _one_photograph(stock, width, height, side, rng)
    else:
        image, faces = _pasted_faces(stock, width, height, rng)
    if rng.random() < 0.15:
        _hide(image, rng)
    square = np.full((side, side, 3), _BESIDE, np.uint8)
    square[: image.height, : image.width] = _recoloured(image, rng)
    heat, counts, boxes, weight = targets(faces, image.width, image.height, side // STRIDE)
    return Scene(np.ascontiguousarray(square.transpose(2, 0, 1)), heat, counts, boxes, weight)


def _shape(side: int, rng: Generator) -> tuple[int, int]:
    if rng.random() < 0.35:
        return side, side
    ratio = math.exp(rng.uniform(-0.6, 0.6))
    if ratio >= 1:
        return side, max(40, round(side / ratio))
    return max(40, round(side * ratio)), side


def _background(stock: Stock, width: int, height: int, rng: Generator) -> Image.Image:
    """A part of a photograph that shows no face."""
    for _ in range(8):
        of = stock.empty if stock.empty and rng.random() < 0.4 else stock.wide
        if not of:
            break
        photograph = of[int(rng.integers(len(of)))]
        image, ratio = photograph.image, width / height
        across = min(image.width, image.height * ratio) * rng.uniform(0.2, 1)
        down = across / ratio
        x, y = rng.uniform(0, image.width - across), rng.uniform(0, image.height - down)
        left, top, right, bottom = photograph.faces[:, :4].T
        shown = (right > x - 2) & (left < x + across + 2) & (bottom > y - 2) & (top < y + down + 2)
        if not shown.any():
            box = float(x), float(y), float(x + across), float(y + down)
            return image.resize((width, height), _BILINEAR, box=box)
    return _plain(width, height, rng)


def _plain(width: int, height: int, rng: Generator) -> Image.Image:
    if rng.random() < 0.5:
        return Image.new("RGB", (width, height), _colour(rng))
    patches = rng.integers(0, 256, (*rng.integers(2, 12, 2), 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((width, height), _BICUBIC)


def _one_photograph(
    stock: Stock, width: int, height: int, side: int, rng: Generator
) -> tuple[Image.Image, list[Floats]]:
    """One photograph: whole, cropped, or small on another background."""
    far = rng.random() < 0.75
    of = stock.wide if stock.wide and (far or not stock.close) else stock.close
    if not of:
        return _background(stock, width, height, rng), []
    photograph = _mirrored_or_turned(of[int(rng.integers(len(of)))], rng)
    image, how = photograph.image, rng.random()
    x = y = 0.0
    across, down = float(image.width), float(image.height)
    if how < 0.35:
        scale = side / max(across, down)
        width, height = max(32, round(across * scale)), max(32, round(down * scale))
    elif how < 0.7:
        across = min(across, down * width / height) * rng.uniform(0.35, 1)
        down = across * height / width
        x, y = rng.uniform(0, image.width - across), rng.uniform(0, image.height - down)
    else:
        across = max(across, down * width / height) * math.exp(rng.uniform(0, 1.6))
        down = across * height / width
        x, y = -rng.uniform(0, across - image.width), -rng.uniform(0, down - image.height)
    scale = width / across
    cut = (max(0, x), max(0, y), min(image.width, x + across), min(image.height, y + down))
    size = max(1, round((cut[2] - cut[0]) * scale)), max(1, round((cut[3] - cut[1]) * scale))
    canvas = _background(stock, width, height, rng)
    canvas.paste(
        image.resize(size, _BILINEAR, box=cut),
        (round((cut[0] - x) * scale), round((cut[1] - y) * scale)),
    )
    return canvas, [_moved(face, scale, -x * scale, -y * scale) for face in photograph.faces]


def _pasted_faces(
    stock: Stock, width: int, height: int, rng: Generator
) -> tuple[Image.Image, list[Floats]]:
    """One to four faces of random size on a background: some cut by the edge, none overlapping."""
    canvas = _background(stock, width, height, rng)
    placed: list[Floats] = []
    if not stock.close:
        return canvas, placed
    for _ in range(rng.integers(1, 5)):
        photograph = stock.close[int(rng.integers(len(stock.close)))]
        if len(photograph.faces) != 1 or photograph.faces[0, 4] < 0.5:
            continue
        photograph = _mirrored_or_turned(photograph, rng)
        image, face = photograph.image, photograph.faces[0]
        scale = math.exp(rng.uniform(math.log(9), math.log(120))) / (
            max(face[2] - face[0], face[3] - face[1])
        )
        size = round(image.width * scale), round(image.height * scale)
        if min(size) < 4 or scale > 1.5:
            continue
        middle = (face[0] + face[2]) / 2 * scale, (face[1] + face[3]) / 2 * scale
        x = round(rng.uniform(-0.05, 1.05) * width - middle[0])
        y = round(rng.uniform(-0.05, 1.05) * height - middle[1])
        new = _moved(face, scale, x, y)
        if any(_overlapping(new, old) for old in placed):
            continue
        mask = _oval(*size) if rng.random() < 0.7 else None
        canvas.paste(image.resize(size, _BILINEAR), (x, y), mask)
        placed.append(new)
    return canvas, placed


def _mirrored_or_turned(photograph: Photograph, rng: Generator) -> Photograph:
    """The photograph, perhaps mirrored or turned; the boxes keep their size."""
    image, faces = photograph.image, photograph.faces.copy()
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        faces[:, [0, 2]] = image.width - faces[:, [2, 0]]
    if rng.random() < 0.3:
        angle = rng.uniform(-_TURN, _TURN)
        image = image.rotate(angle, _BILINEAR, fillcolor=_colour(rng))
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        x = (faces[:, 0] + faces[:, 2]) / 2 - image.width / 2
        y = (faces[:, 1] + faces[:, 3]) / 2 - image.height / 2
        across, down = x * cos + y * sin - x, y * cos - x * sin - y
        faces[:, :4] += np.stack((across, down, across, down), 1)
    return Photograph(image, faces)


def _moved(face: Floats, scale: float, x: float, y: float) -> Floats:
    move = np.array([x, y, x, y], np.float32)
    return np.concatenate((face[:4] * np.float32(scale) + move, face[4:])).astype(np.float32)


def _overlapping(one: Floats, other: Floats) -> bool:
    """Whether two faces are less than 6 pixels apart."""
    return bool(
        min(one[2], other[2]) > max(one[0], other[0]) - 6
        and min(one[3], other[3]) > max(one[1], other[1]) - 6
    )


def _oval(width: int, height: int) -> Image.Image:
    """An oval mask with a soft edge, which hides the pasted picture's own background."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    inside = (1 - (np.abs(x) ** 2.5 + np.abs(y) ** 2.5)) * 4
    return Image.fromarray((255 * inside.clip(0, 1)).astype(np.uint8))


def _hide(image: Image.Image, rng: Generator) -> None:
    """Cover a random rectangle with one colour."""
    width = int(rng.integers(4, max(5, image.width // 3)))
    height = int(rng.integers(4, max(5, image.height // 3)))
    x, y = rng.integers(0, image.width - width), rng.integers(0, image.height - height)
    image.paste(_colour(rng), (int(x), int(y), int(x) + width, int(y) + height))


def _recoloured(image: Image.Image, rng: Generator) -> NDArray[np.uint8]:
    pixels = np.asarray(image, np.float32)
    if rng.random() < 0.12:
        pixels = np.repeat((pixels @ _LUMA)[:, :, None], 3, 2)
    middle = pixels.mean()
    pixels = (pixels - middle) * rng.uniform(0.65, 1.35) + middle + rng.uniform(-40, 40)
    return np.asarray(pixels.clip(0, 255), np.uint8)


def _colour(rng: Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    return red, green, blue
