"""Which formats are accepted, and what a file says before a pixel is decoded."""

import contextlib
import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

import pillow_heif
from PIL import ExifTags, Image, UnidentifiedImageError, features

from gdwatch.decode import png, tiff
from gdwatch.decode.tiff import Tiff
from gdwatch.values import Header, RejectedReason

pillow_heif.register_heif_opener(thumbnails=False)

FORMATS = ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "HEIF"]
FORMATS += ["AVIF"] if features.check("avif") else []

# First bytes of formats that Pillow cannot read, or only with a plug-in. Raw data of cameras that
# are a TIFF by their first bytes are told by `Tiff.is_raw`.
_FOREIGN = {
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "JPEG XR": (b"II\xbc\x01",),
    "SVG": (b"<svg",),
    "Photoshop": (b"8BPS",),
    "GIMP": (b"gimp xcf",),
    "OpenEXR": (b"\x76\x2f\x31\x01",),
    "Radiance": (b"#?RADIANCE", b"#?RGBE"),
    "DPX": (b"SDPX", b"XPDS"),
    "DjVu": (b"AT&TFORM",),
    "BPG": (b"BPG\xfb",),
    "camera raw": (
        b"FUJIFILMCCD-RAW",
        b"IIRO", b"IIRS", b"MMOR",  # Olympus
        b"IIU\0",  # Panasonic
        b"II\x1a\0\0\0HEAPCCDR",  # Canon, before it took to TIFF
        b"FOVb",  # Sigma
        b"\0MRM",  # Minolta
    ),
}  # fmt: skip
_FOREIGN_BRANDS = {b"crx ": "camera raw", b"jxl ": "JPEG XL"}  # of files with boxes
_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|!DOCTYPE|!--)")
_LONGEST_PROLOG = 4096  # bytes before the first element of an SVG
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
        if format_ == "TIFF" and Tiff(content).required_length <= len(content):
            raise Refused("unsupported_format", "a TIFF of a kind that no reader takes") from error
        if format_ in FORMATS:
            raise ValueError(f"begins like {format_}, and no reader takes it") from error
        raise Refused("unsupported_format", _not_accepted(format_)) from error


def _not_accepted(format_: str) -> str:
    return f"{format_} is not one of {', '.join(FORMATS)}"


def picture_of(content: bytes) -> bytes:
    """Return the file with the picture that is to be judged alone or first.

    Of a PNG, side data are left out; of a TIFF, the first page is the photograph, not a smaller
    version of it.

    Raises Refused if it holds raw data of a camera, or pixels that no reader here reads right.
    """
    if content.startswith(png.SIGNATURE):
        return png.picture_of(content)
    if tiff.MAGIC.match(content) is None:
        return content
    read = Tiff(content)
    page = read.photograph
    if read.is_raw:
        raise Refused("unsupported_format", _not_accepted("camera raw"))
    if page is None or read.required_length > len(content):
        return content  # it is for `ends_early` to say so
    if not read.is_read_right:
        raise Refused("unsupported_format", f"a TIFF of {page.layout}")
    return content if page is read.pages[0] else read.beginning_with(page)


def sniff(content: bytes) -> str | None:
    """Return the image format that the first bytes claim, accepted or not; None without one."""
    prefix = content[:16]
    if foreign := _foreign_format(content):
        return foreign
    if prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIF_BRANDS:
        return "AVIF" if prefix[8:11] == b"avi" else "HEIF"
    Image.init()  # loads all of Pillow's readers, for their tests of the first bytes
    for name, (_, accept) in Image.OPEN.items():
        # These test for a single number, with which any text may begin.
        if accept is not None and name not in ("PCX", "MPEG", "XBM", "DIB"):
            with contextlib.suppress(struct.error, IndexError):  # fewer bytes than it tests
                if accept(prefix):
                    return name
    return None


def _foreign_format(content: bytes) -> str | None:
    """Return the format that the first bytes claim, if it is none of Pillow's."""
    for name, beginnings in _FOREIGN.items():
        if content.startswith(beginnings):
            return name
    if content[4:8] == b"ftyp":
        return _FOREIGN_BRANDS.get(content[8:12])
    is_svg = _XML.match(content) is not None and b"<svg" in content[:_LONGEST_PROLOG]
    return "SVG" if is_svg else None


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
