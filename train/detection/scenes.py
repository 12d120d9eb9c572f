"""Thumbnails to learn to find faces on: photographs cut, zoomed, turned and pasted together."""

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
_BESIDE = 128  # as in `locator.thumbnails`
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_BILINEAR, _BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
_TURN = 25  # degrees


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph to compose with.

    image: RGB, at most `LONGEST` pixels on a side.
    faces: float32 (F, 5): left, top, right, bottom in pixels of `image`, and the teacher's score.
    """

    image: Image.Image
    faces: Floats


@dataclass(frozen=True, slots=True)
class Scene:
    """A thumbnail, and what a locator should answer, by cells of `STRIDE` pixels.

    thumbnail: uint8 (3, S, S), RGB.
    heat: float32 (S / 8, S / 8), 1 where a face's centre lies, less beside it.
    counts: float32, likewise; 0 where no one knows whether there is a face.
    boxes: float32 (4, S / 8, S / 8), as channels 1 to 4 of the locator's answer.
    weight: float32 (S / 8, S / 8), how much each cell's box is to be learnt.
    """

    thumbnail: NDArray[np.uint8]
    heat: Floats
    counts: Floats
    boxes: Floats
    weight: Floats


@dataclass(frozen=True, slots=True)
class Stock:
    """What scenes are made of.

    wide: photographs with faces and more; how often one is taken is how often it stands here.
    close: faces that fill their picture, for pasting.
    empty: photographs without any face.
    """

    wide: Sequence[Photograph]
    close: Sequence[Photograph]
    empty: Sequence[Photograph]


def compose(stock: Stock, side: int, dice: Generator) -> Scene:
    """Make one scene of `side` pixels: an empty one, a photograph seen anew, or pasted faces."""
    width, height = _shape(side, dice)
    kind = dice.random()
    faces: list[Floats] = []
    if kind < 0.24:
        image = _background(stock, width, height, dice)
    elif kind < 0.7:
        image, faces = _seen_anew(stock, width, height, side, dice)
    else:
        image, faces = _pasted(stock, width, height, dice)
    if dice.random() < 0.15:
        _hide(image, dice)
    square = np.full((side, side, 3), _BESIDE, np.uint8)
    square[: image.height, : image.width] = _recoloured(image, dice)
    heat, counts, boxes, weight = targets(faces, image.width, image.height, side // STRIDE)
    return Scene(np.ascontiguousarray(square.transpose(2, 0, 1)), heat, counts, boxes, weight)


def _shape(side: int, dice: Generator) -> tuple[int, int]:
    if dice.random() < 0.35:
        return side, side
    ratio = math.exp(dice.uniform(-0.6, 0.6))
    if ratio >= 1:
        return side, max(40, round(side / ratio))
    return max(40, round(side * ratio)), side


def _background(stock: Stock, width: int, height: int, dice: Generator) -> Image.Image:
    """A part of a photograph without a face: of one that has none, or beside those of another."""
    for _ in range(8):
        of = stock.empty if stock.empty and dice.random() < 0.4 else stock.wide
        if not of:
            break
        photograph = of[int(dice.integers(len(of)))]
        image, ratio = photograph.image, width / height
        across = min(image.width, image.height * ratio) * dice.uniform(0.2, 1)
        down = across / ratio
        x, y = dice.uniform(0, image.width - across), dice.uniform(0, image.height - down)
        left, top, right, bottom = photograph.faces[:, :4].T
        shown = (right > x - 2) & (left < x + across + 2) & (bottom > y - 2) & (top < y + down + 2)
        if not shown.any():
            box = float(x), float(y), float(x + across), float(y + down)
            return image.resize((width, height), _BILINEAR, box=box)
    return _plain(width, height, dice)


def _plain(width: int, height: int, dice: Generator) -> Image.Image:
    if dice.random() < 0.5:
        return Image.new("RGB", (width, height), _colour(dice))
    patches = dice.integers(0, 256, (*dice.integers(2, 12, 2), 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((width, height), _BICUBIC)


def _seen_anew(
    stock: Stock, width: int, height: int, side: int, dice: Generator
) -> tuple[Image.Image, list[Floats]]:
    """One photograph: as it is, a part of it, or small on something else."""
    far = dice.random() < 0.75
    of = stock.wide if stock.wide and (far or not stock.close) else stock.close
    if not of:
        return _background(stock, width, height, dice), []
    photograph = _changed(of[int(dice.integers(len(of)))], dice)
    image, how = photograph.image, dice.random()
    x = y = 0.0
    across, down = float(image.width), float(image.height)
    if how < 0.35:
        scale = side / max(across, down)
        width, height = max(32, round(across * scale)), max(32, round(down * scale))
    elif how < 0.7:
        across = min(across, down * width / height) * dice.uniform(0.35, 1)
        down = across * height / width
        x, y = dice.uniform(0, image.width - across), dice.uniform(0, image.height - down)
    else:
        across = max(across, down * width / height) * math.exp(dice.uniform(0, 1.6))
        down = across * height / width
        x, y = -dice.uniform(0, across - image.width), -dice.uniform(0, down - image.height)
    scale = width / across
    cut = (max(0, x), max(0, y), min(image.width, x + across), min(image.height, y + down))
    size = max(1, round((cut[2] - cut[0]) * scale)), max(1, round((cut[3] - cut[1]) * scale))
    canvas = _background(stock, width, height, dice)
    canvas.paste(
        image.resize(size, _BILINEAR, box=cut),
        (round((cut[0] - x) * scale), round((cut[1] - y) * scale)),
    )
    return canvas, [_moved(face, scale, -x * scale, -y * scale) for face in photograph.faces]


def _pasted(
    stock: Stock, width: int, height: int, dice: Generator
) -> tuple[Image.Image, list[Floats]]:
    """Some faces at any size on a background, some cut by its edge, none over another."""
    canvas = _background(stock, width, height, dice)
    placed: list[Floats] = []
    if not stock.close:
        return canvas, placed
    for _ in range(dice.integers(1, 5)):
        photograph = stock.close[int(dice.integers(len(stock.close)))]
        if len(photograph.faces) != 1 or photograph.faces[0, 4] < 0.5:
            continue
        photograph = _changed(photograph, dice)
        image, face = photograph.image, photograph.faces[0]
        scale = math.exp(dice.uniform(math.log(9), math.log(120))) / (
            max(face[2] - face[0], face[3] - face[1])
        )
        size = round(image.width * scale), round(image.height * scale)
        if min(size) < 4 or scale > 1.5:
            continue
        middle = (face[0] + face[2]) / 2 * scale, (face[1] + face[3]) / 2 * scale
        x = round(dice.uniform(-0.05, 1.05) * width - middle[0])
        y = round(dice.uniform(-0.05, 1.05) * height - middle[1])
        new = _moved(face, scale, x, y)
        if any(_meet(new, old) for old in placed):
            continue
        mask = _oval(*size) if dice.random() < 0.7 else None
        canvas.paste(image.resize(size, _BILINEAR), (x, y), mask)
        placed.append(new)
    return canvas, placed


def _changed(photograph: Photograph, dice: Generator) -> Photograph:
    """Mirrored or turned, perhaps; the boxes keep their size when they turn."""
    image, faces = photograph.image, photograph.faces.copy()
    if dice.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        faces[:, [0, 2]] = image.width - faces[:, [2, 0]]
    if dice.random() < 0.3:
        angle = dice.uniform(-_TURN, _TURN)
        image = image.rotate(angle, _BILINEAR, fillcolor=_colour(dice))
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        x = (faces[:, 0] + faces[:, 2]) / 2 - image.width / 2
        y = (faces[:, 1] + faces[:, 3]) / 2 - image.height / 2
        across, down = x * cos + y * sin - x, y * cos - x * sin - y
        faces[:, :4] += np.stack((across, down, across, down), 1)
    return Photograph(image, faces)


def _moved(face: Floats, scale: float, x: float, y: float) -> Floats:
    move = np.array([x, y, x, y], np.float32)
    return np.concatenate((face[:4] * np.float32(scale) + move, face[4:])).astype(np.float32)


def _meet(one: Floats, other: Floats) -> bool:
    """Whether two faces lie over each other by more than a seam of 6 pixels."""
    return bool(
        min(one[2], other[2]) > max(one[0], other[0]) - 6
        and min(one[3], other[3]) > max(one[1], other[1]) - 6
    )


def _oval(width: int, height: int) -> Image.Image:
    """A mask that is soft at its rim: what shows of the pasted picture's own background is less."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    inside = (1 - (np.abs(x) ** 2.5 + np.abs(y) ** 2.5)) * 4
    return Image.fromarray((255 * inside.clip(0, 1)).astype(np.uint8))


def _hide(image: Image.Image, dice: Generator) -> None:
    """Put one even rectangle over a part of the picture."""
    width = int(dice.integers(4, max(5, image.width // 3)))
    height = int(dice.integers(4, max(5, image.height // 3)))
    x, y = dice.integers(0, image.width - width), dice.integers(0, image.height - height)
    image.paste(_colour(dice), (int(x), int(y), int(x) + width, int(y) + height))


def _recoloured(image: Image.Image, dice: Generator) -> NDArray[np.uint8]:
    pixels = np.asarray(image, np.float32)
    if dice.random() < 0.12:
        pixels = np.repeat((pixels @ _LUMA)[:, :, None], 3, 2)
    middle = pixels.mean()
    pixels = (pixels - middle) * dice.uniform(0.65, 1.35) + middle + dice.uniform(-40, 40)
    return np.asarray(pixels.clip(0, 255), np.uint8)


def _colour(dice: Generator) -> tuple[int, int, int]:
    red, green, blue = dice.integers(0, 256, 3).tolist()
    return red, green, blue
