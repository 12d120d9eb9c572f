"""Which formats are accepted, and what a file says before a pixel is decoded."""

import contextlib
import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

from PIL import ExifTags, Image, UnidentifiedImageError, features

from gdwatch.values import Header, RejectedReason

try:
    import pillow_heif
except ImportError:  # the extra `heif` is not installed
    _HAS_HEIF = False
else:
    pillow_heif.register_heif_opener(thumbnails=False)
    _HAS_HEIF = True

FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"]
FORMATS += ["AVIF"] if features.check("avif") else []
FORMATS += ["HEIF"] if _HAS_HEIF else []

# First bytes of formats that Pillow cannot read, or only with a plug-in.
_FOREIGN = (b"\xff\x0a", b"\0\0\0\x0cJXL ", b"<svg", b"8BPS", b"FUJIFILMCCD-RAW")
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis"}
_LONGEST_SIDE = 2**31 - 1  # pixels; a TIFF may claim more than fits into an integer of a database


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a picture may be."""

    max_pixels: int


class Refused(Exception):  # noqa: N818 - an answer about the bytes, not a failure
    """These bytes are no photograph that gdwatch can read.

    detail: one line for the log.
    header: None where it is not known.
    """

    def __init__(self, reason: RejectedReason, detail: str, header: Header | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.header = header


def open_image(content: bytes) -> Image.Image:
    """Open a picture of an accepted format, without decoding it.

    Raises Refused if it is of no accepted format, and what Pillow raises.
    """
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
    """Return the image format that the first bytes claim, accepted or not; None without one."""
    prefix = content[:16]
    if prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIF_BRANDS:
        return "AVIF" if prefix[8:11] == b"avi" else "HEIF"
    if any(prefix.startswith(magic) for magic in _FOREIGN):
        return "an image format unknown here"
    Image.init()  # loads all of Pillow's readers, for their tests of the first bytes
    for name, (_, accept) in Image.OPEN.items():
        # These test for a single number, with which any text may begin.
        if accept is not None and name not in ("PCX", "MPEG", "XBM", "DIB"):
            with contextlib.suppress(struct.error, IndexError):  # fewer bytes than it tests
                if accept(prefix):
                    return name
    return None


def header_of(image: Image.Image) -> Header:
    """Return format and size of the upright picture, without decoding a pixel."""
    width, height = image.size
    # The base class's, because PNG's own decodes the picture to find EXIF behind it.
    if orientation_of(Image.Image.getexif, image) >= 5:
        width, height = height, width
    return Header(width, height, image.format or "?")


def require_few_pixels(header: Header, limits: Limits) -> None:
    """Raise Refused if a picture has more pixels than the limits allow."""
    if header.width * header.height > limits.max_pixels:
        raise Refused(
            "too_many_pixels",
            f"{header.width}x{header.height} is more than max_pixels {limits.max_pixels}",
            header if max(header.width, header.height) <= _LONGEST_SIDE else None,
        )


def require_small_canvas(content: bytes, limits: Limits) -> None:
    """Raise Refused if a WebP has more pixels than the limits allow.

    To be called before it is opened: its reader then allocates the whole canvas, twice.
    """
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
    require_few_pixels(Header(width, height, "WEBP"), limits)


def orientation_of(read: Callable[[Image.Image], Image.Exif], image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if it is missing or invalid.

    read: returns the EXIF of a picture.
    """
    if image.format == "TIFF":
        return 1  # Pillow rotates these itself
    try:
        value = read(image).get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1  # broken EXIF is no reason to refuse a picture
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
