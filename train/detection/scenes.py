"""Compose the thumbnails that a locator is trained on: photographs cropped, scaled and pasted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from gdwatch.networks.locator import LANDMARKS, STRIDE
from train.detection.targets import Floats, targets

_BESIDE = 128  # grey beside the picture, as in `detection.thumbnails` of the service
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_BILINEAR, _BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
_TURN = 25  # degrees, at most
_WINDOWS_WITHOUT_FACES = 0.25  # share of windows that show a photograph without people
_WINDOWS_AT_FACES = 0.7  # share of the other windows that show a certain face
_MIRRORED = (1, 0, 2, 4, 3)  # left eye and right change places, and the corners of the mouth


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph to compose with.

    image: RGB.
    faces: float32 (F, 15): left, top, right, bottom in pixels of `image`; the detector's score; x
    and y of each landmark in the same pixels, NaN where they are not known.
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
    marks: float32 (10, S / 8, S / 8), as channels 5 to 14 of the locator's output.
    marked: float32 (S / 8, S / 8), weight of each cell in the loss of the landmarks.
    """

    thumbnail: NDArray[np.uint8]
    heat: Floats
    counts: Floats
    boxes: Floats
    weight: Floats
    marks: Floats
    marked: Floats


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


@dataclass(frozen=True, slots=True)
class Windows:
    """Scenes that show a window of a photograph, as a second look sees it.

    share: of all scenes, 0 to 1.
    longest: pixels of a photograph's longer side when the locator sees it.
    """

    share: float
    longest: int


def compose(stock: Stock, side: int, rng: Generator, windows: Windows | None = None) -> Scene:
    """Compose a scene of `side` pixels: without a face, of one photograph, or of pasted faces."""
    if windows is not None and rng.random() < windows.share:
        return _window(stock, side, windows.longest, rng)
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
    return _scene(image, faces, side, rng)


def _scene(image: Image.Image, faces: Sequence[Floats], side: int, rng: Generator) -> Scene:
    square = np.full((side, side, 3), _BESIDE, np.uint8)
    square[: image.height, : image.width] = _recoloured(image, rng)
    wanted = targets(faces, image.width, image.height, side // STRIDE)
    return Scene(np.ascontiguousarray(square.transpose(2, 0, 1)), *wanted)


def _window(stock: Stock, side: int, longest: int, rng: Generator) -> Scene:
    """A window of one photograph, at about the scale at which a second look sees it."""
    of = stock.empty if stock.empty and rng.random() < _WINDOWS_WITHOUT_FACES else stock.wide
    if not of:
        return compose(stock, side, rng)
    photograph = _mirrored_or_turned(of[int(rng.integers(len(of)))], rng)
    image = photograph.image
    scale = longest / max(image.size) * math.exp(rng.uniform(-0.6, 0.35))
    across, down = (min(float(length), side / scale) for length in image.size)
    x, y = rng.uniform(0, image.width - across), rng.uniform(0, image.height - down)
    if len(photograph.faces) and rng.random() < _WINDOWS_AT_FACES:
        left, top, right, bottom = photograph.faces[int(rng.integers(len(photograph.faces))), :4]
        x = min(max((left + right) / 2 - across * rng.uniform(0.1, 0.9), 0), image.width - across)
        y = min(max((top + bottom) / 2 - down * rng.uniform(0.1, 0.9), 0), image.height - down)
    size = max(1, round(across * scale)), max(1, round(down * scale))
    seen = image.resize(size, _BILINEAR, box=(x, y, x + across, y + down))
    faces = [_moved(face, scale, -x * scale, -y * scale) for face in photograph.faces]
    return _scene(seen, faces, side, rng)


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
        points = faces[:, 5:].reshape(-1, LANDMARKS, 2)[:, _MIRRORED]
        points[:, :, 0] = image.width - points[:, :, 0]
        faces[:, 5:] = points.reshape(len(faces), 2 * LANDMARKS)
    if rng.random() < 0.3:
        angle = rng.uniform(-_TURN, _TURN)
        image = image.rotate(angle, _BILINEAR, fillcolor=_colour(rng))
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        x = (faces[:, 0] + faces[:, 2]) / 2 - image.width / 2
        y = (faces[:, 1] + faces[:, 3]) / 2 - image.height / 2
        across, down = x * cos + y * sin - x, y * cos - x * sin - y
        faces[:, :4] += np.stack((across, down, across, down), 1)
        middle = np.array([image.width / 2, image.height / 2], np.float32)
        turn = np.array([[cos, -sin], [sin, cos]], np.float32)
        points = ((faces[:, 5:].reshape(-1, LANDMARKS, 2) - middle) @ turn + middle).astype(
            np.float32
        )
        faces[:, 5:] = points.reshape(len(faces), 2 * LANDMARKS)
    return Photograph(image, faces)


def _moved(face: Floats, scale: float, x: float, y: float) -> Floats:
    moved = face * np.float32(scale) + np.resize(np.array([x, y], np.float32), face.shape)
    moved[5:] = face[5:] * np.float32(scale) + np.resize(np.array([x, y], np.float32), 10)
    moved[4] = face[4]
    return moved.astype(np.float32)


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
