"""From the bytes of a file to an upright photograph, or to the reason why not.

The bytes are hostile until shown otherwise: formats are an allow list, sizes are checked in the
header before a pixel is decoded, warnings count as errors. Runs in a worker; never needs torch.
"""

import contextlib
import io
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError, features

from gdwatch import shrink
from gdwatch.ending import ends_early
from gdwatch.shrink import Picture, Pixels
from gdwatch.values import Header, RejectedReason

try:
    import pillow_heif
except ImportError:  # the extra `heif` is not installed
    _HAS_HEIF = False
else:
    pillow_heif.register_heif_opener(thumbnails=False)
    _HAS_HEIF = True

T = TypeVar("T")

FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"]
FORMATS += ["AVIF"] if features.check("avif") else []
FORMATS += ["HEIF"] if _HAS_HEIF else []

# Formats by their first bytes that Pillow has no reader for, or only with a plug-in.
_FOREIGN = (b"\xff\x0a", b"\0\0\0\x0cJXL ", b"<svg", b"8BPS", b"FUJIFILMCCD-RAW")
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"}
_SHORTEST_HEADER = 64  # bytes; with fewer, no format can say what it is
_ROWS = 256  # of a deep picture scaled together: as floats, all of them take eight times the memory
_LONGEST_SIDE = 2**31 - 1  # pixels; a TIFF may claim more than any database holds
_BACKGROUND = (128, 128, 128)  # under transparent pixels, whose own colour is often nonsense

ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = None  # our own limit is checked, in the header of every format


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a picture may be."""

    max_pixels: int


class Refused(Exception):  # noqa: N818 - an answer about the bytes, not a failure
    """These bytes are no photograph that gdwatch can read."""

    def __init__(self, reason: RejectedReason, detail: str, header: Header | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.header = header


def decode(
    content: bytes, limits: Limits, look: Callable[[Picture], T], least: int = 0
) -> tuple[Header, T]:
    """Decode a photograph and look at it; what goes wrong while looking is a refusal as well.

    content: a whole file.
    look: takes the upright photograph and gives what is wanted of it.
    least: of a large JPEG, the half, quarter or eighth is decoded that keeps so many pixels along
        its longer side; 0 for the whole.

    Returns the header, with the size of the upright picture, and what `look` gave.
    Raises Refused.
    """
    if not content:
        raise Refused("empty", "0 bytes")
    header: Header | None = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with warnings.catch_warnings():
                if content.startswith(b"\xff\xd8"):
                    # Of a JPEG, opening reads EXIF as well: careless, but no reason to refuse a
                    # picture that decodes.
                    warnings.simplefilter("ignore", UserWarning)
                _require_small_canvas(content, limits)
                image = _open(content)
                header = _header(image)
            _require_few_pixels(header, limits)
            if ends_early(
                content
            ):  # decoders stop at the first picture, or fill up what is missing
                raise Refused("truncated", "the file ends before its picture does", header)
            photo = _rgb(image, content, least)
            orientation = _orientation(type(image).getexif, image)
            width, height = image.size if orientation < 5 else image.size[::-1]
            header = Header(width, height, header.format)
            turn = _TURNS.get(orientation)
            return header, look(photo if turn is None else shrink.image(photo).transpose(turn))
    except Refused:
        raise
    except MemoryError as error:
        raise Refused("decoder_crashed", "more memory than worker_memory_mb", header) from error
    except Exception as error:
        # Decoders of hostile bytes raise whatever they like: every refusal of theirs is an answer.
        reason: RejectedReason = "truncated" if _is_cut(content, error) else "damaged"
        raise Refused(reason, _one_line(error), header) from error


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        format_ = sniff(content)
        if format_ is None:
            raise Refused("not_an_image", "the first bytes are no image's") from error
        if format_ in FORMATS:
            raise ValueError(f"begins like {format_}, and no reader takes it") from error
        raise Refused(
            "unsupported_format", f"{format_} is not one of {', '.join(FORMATS)}"
        ) from error


def sniff(content: bytes) -> str | None:
    """Name the image format that the first bytes promise, whether it is accepted or not."""
    prefix = content[:16]
    if prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIF_BRANDS:
        return "AVIF" if prefix[8:11] == b"avi" else "HEIF"
    if any(prefix.startswith(magic) for magic in _FOREIGN):
        return "an image format unknown here"
    Image.init()  # all of Pillow's readers, of which only the test of the first bytes is used
    for name, (_, accept) in Image.OPEN.items():
        # The test of some is one number that any text may begin with.
        if accept is not None and name not in ("PCX", "MPEG", "XBM", "DIB"):
            with contextlib.suppress(struct.error, IndexError):  # fewer bytes than it looks at
                if accept(prefix):
                    return name
    return None


def _header(image: Image.Image) -> Header:
    """What is known before a pixel is decoded, and without decoding one."""
    width, height = image.size
    # The base class's, because that of PNG decodes the picture to look behind it.
    if _orientation(Image.Image.getexif, image) >= 5:
        width, height = height, width
    return Header(width, height, image.format or "?")


def _require_few_pixels(header: Header, limits: Limits) -> None:
    if header.width * header.height > limits.max_pixels:
        raise Refused(
            "too_many_pixels",
            f"{header.width}x{header.height} is more than max_pixels {limits.max_pixels}",
            header if max(header.width, header.height) <= _LONGEST_SIDE else None,
        )


def _require_small_canvas(content: bytes, limits: Limits) -> None:
    """Of WebP, whose reader takes memory for the whole canvas, twice, when a file is opened."""
    first = content[12:16] if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else b""
    if first == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
    elif first == b"VP8L":
        bits = int.from_bytes(content[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif first == b"VP8 ":
        width, height = (int.from_bytes(content[at : at + 2], "little") & 0x3FFF for at in (26, 28))
    else:
        return
    _require_few_pixels(Header(width, height, "WEBP"), limits)


def _orientation(read: Callable[[Image.Image], Image.Exif], image: Image.Image) -> int:
    if image.format == "TIFF":
        return 1  # Pillow turns these itself
    try:
        value = read(image).get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1  # broken, and no reason to refuse the picture
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _rgb(image: Image.Image, content: bytes, least: int) -> Picture:
    """Decode and convert to RGB, whatever the mode; a JPEG perhaps smaller, see `decode`."""
    if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
        # The same pixels as Pillow's (the same library decodes), in about 0.65 of its time. Of
        # the smaller sizes, only these are decoded faster.
        factor = next((n for n in (8, 4, 2) if max(image.size) >= n * least > 0), 1)
        width, height = (-(-length // factor) for length in image.size)
        pixels: Pixels = simplejpeg.decode_jpeg(
            content, "RGB", strict=True, min_height=height, min_width=width
        )
        return pixels
    if image.format == "PNG":
        # Decoding does not check the sums that every chunk has.
        Image.open(io.BytesIO(content), formats=["PNG"]).verify()
    image.load()
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep(image)
    if image.has_transparency_data:
        if image.mode != "RGBA":
            image = image.convert("RGBA")
        photo = Image.new("RGB", image.size, _BACKGROUND)
        photo.paste(image, mask=image)
        return photo
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Scale 16-bit, 32-bit and float grey to 8 bits; Pillow's own conversion would clip."""
    values = np.asarray(image)
    low, high = _range(values)
    if image.mode.startswith("I") and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    scale = 255 / (high - low) if high > low else 0.0
    grey = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), _ROWS):
        some = values[row : row + _ROWS].astype(np.float64)
        some = (np.nan_to_num(some, nan=low, posinf=high, neginf=low) - low) * scale
        grey[row : row + _ROWS] = some.round().clip(0, 255)
    return Image.fromarray(grey).convert("RGB")


def _range(values: NDArray[Any]) -> tuple[float, float]:
    """The least and the greatest of the finite values; 0 where there are none."""
    light = values if values.dtype.kind in "iu" else values[np.isfinite(values)]
    return (float(light.min()), float(light.max())) if light.size else (0.0, 0.0)


def _is_cut(content: bytes, error: Exception) -> bool:
    """Whether the data of a file that could not be decoded end before its picture does."""
    words = str(error).lower()
    return (
        len(content) < _SHORTEST_HEADER
        or ends_early(content)
        or isinstance(error, EOFError)
        or "truncated" in words
        or "not enough" in words
    )


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
