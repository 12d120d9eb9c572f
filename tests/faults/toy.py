"""A model whose every answer is known: it reads a serial number and a probability off the pixels.

A picture is a grid of 8 x 8 black and white fields, 64 bits: a mark, the serial number, the
probability of `male` in thousandths, a sum over both. They survive every format and the squeeze
to the classifier's 32 pixels, so what stands in the ledger can be held against the bytes alone.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SIDE = 32
MIN_CONFIDENCE = 0.9  # as in the model file that tests.build makes
_GRID = 8
_MARK, _MARK_BITS = 0b10110011100011, 14
_SERIAL_BITS, _P_BITS, _SUM_BITS = 32, 10, 8
_BLACK, _WHITE = 24, 232


@dataclass(frozen=True, slots=True)
class Answer:
    """What the ledger must say of a file; None stands for anything."""

    outcome: str
    reason: str | None = None
    label: str | None = None
    p_male: float | None = None


def picture(serial: int, p_male: float, format_: str = "PNG", side: int = SIDE) -> bytes:
    """A file that says its own answer; `side` is a multiple of 32."""
    from PIL import Image

    thousandths = round(p_male * 1000)
    word = _MARK << _SERIAL_BITS | serial
    word = word << _P_BITS | thousandths
    word = word << _SUM_BITS | _sum(serial, thousandths)
    image = Image.new("RGB", (_GRID, _GRID))
    for at in range(_GRID * _GRID):
        level = _WHITE if word >> (63 - at) & 1 else _BLACK
        image.putpixel((at % _GRID, at // _GRID), (level, level, level))
    stream = io.BytesIO()
    image.resize((side, side), Image.Resampling.NEAREST).save(stream, format_)
    return stream.getvalue()


def read(level: Callable[[int, int], int], side: int) -> float | None:
    """The probability that a picture says; None if it is none of ours.

    level: brightness, 0 to 255, at a column and a row of the square with this side.
    """
    step, word = side // _GRID, 0
    for at in range(_GRID * _GRID):
        x, y = at % _GRID * step + step // 2, at // _GRID * step + step // 2
        word = word << 1 | (level(x, y) >= 128)
    total = word & (1 << _SUM_BITS) - 1
    thousandths = word >> _SUM_BITS & (1 << _P_BITS) - 1
    serial = word >> _SUM_BITS + _P_BITS & (1 << _SERIAL_BITS) - 1
    mark = word >> 64 - _MARK_BITS
    if mark != _MARK or total != _sum(serial, thousandths):
        return None
    return thousandths / 1000


def p_of(pixels: Sequence[int], width: int, height: int) -> float:
    """What the model says of a square as the engine sees it: RGB, row by row.

    Of a picture that is none of ours it says how bright it is.
    """
    if width == height:
        said = read(lambda x, y: pixels[(y * width + x) * 3], width)
        if said is not None:
            return said
    return round(sum(pixels) / len(pixels) / 255, 3)


def answer_to(p_male: float) -> Answer:
    """What gdwatch makes of a probability, with the model file of the tests."""
    label = "male" if p_male >= 0.5 else "female"
    if max(p_male, 1 - p_male) < MIN_CONFIDENCE:
        return Answer("unsure", "low_confidence", label, p_male)
    return Answer(label, None, label, p_male)


def answer_of(content: bytes) -> Answer | None:
    """What the ledger must say of these bytes; None where they are no picture of ours."""
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(io.BytesIO(content)).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError):
        return None
    if image.width != image.height or image.width % SIDE:
        return None
    said = read(lambda x, y: image.getpixel((x, y))[0], image.width)
    return None if said is None else answer_to(said)


def _sum(serial: int, thousandths: int) -> int:
    return (sum(serial.to_bytes(4)) + thousandths * 7 + 0x5A) & (1 << _SUM_BITS) - 1
