"""Decodes the bytes of a file to an upright photograph, or refuses them with a reason.

The bytes count as hostile: formats are an allow list, sizes are checked in the header before a
pixel is decoded, warnings are errors. Runs in a worker, without torch.
"""

import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from PIL import Image, ImageFile

from gdwatch.decode import jpeg, progressive, reduce
from gdwatch.decode.colour import to_rgb, to_rgb_by_pillow
from gdwatch.decode.formats import (
    Limits,
    Refused,
    header_of,
    open_image,
    orientation_of,
    picture_of,
    require_few_pixels,
    require_small_canvas,
)
from gdwatch.decode.reduce import Picture
from gdwatch.decode.truncation import ends_early
from gdwatch.values import Header, RejectedReason

T = TypeVar("T")
Decoder = Callable[[Image.Image, bytes], Picture]
_JPEG = b"\xff\xd8"
_WITH_EXIF = (_JPEG, b"II", b"MM")
_BEFORE_THE_END = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_FEW_BYTES = 64
_ENDS_EARLY = "the file ends before its picture does"
_SHORTEST_HEADER = 64  # bytes; no format fits its header into fewer

ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = None  # `require_few_pixels` checks our own limit, for every format


def decode(
    content: bytes, limits: Limits, look: Callable[[Picture], T], least: int = 0
) -> tuple[Header, T]:
    """Decode a photograph and apply `look` to it; an error in `look` is a refusal as well.

    content: a whole file.
    look: takes the upright photograph and returns what the caller wants of it.
    least: a JPEG is decoded at 1/8, 1/4 or 1/2 of its size if the longer side then still has this
        many pixels; 0 decodes the whole.

    Returns the header, with the size of the upright picture, and what `look` returned.
    Raises Refused.
    """
    if not content:
        raise Refused("empty", "0 bytes")
    strictly = partial(to_rgb, least=least)
    try:
        return _decode(content, limits, look, strictly)
    except Refused as refused:
        if refused.reason not in ("truncated", "damaged") or not content.startswith(_JPEG):
            raise
        return _decode_again(content, limits, look, strictly, refused)


def _decode_again(
    content: bytes,
    limits: Limits,
    look: Callable[[Picture], T],
    strictly: Decoder,
    refused: Refused,
) -> tuple[Header, T]:
    """Decode a JPEG that the strict decoder has refused, if it lacks no part of its picture.

    refused: for what it was refused.
    """
    if coding := jpeg.unsupported(content):
        raise Refused("unsupported_format", f"a JPEG of {coding}", refused.header) from refused
    try:
        whole = jpeg.mended(content)
        try:
            return _decode(whole, limits, look, strictly)
        except Refused as again:
            if again.reason != "damaged":
                raise
            if jpeg.is_progressive(whole):
                if not (content.endswith(jpeg.END) and _ends_well(again)):
                    _require_components(whole, limits, strictly)
                return _decode(whole, limits, look, to_rgb_by_pillow)
        return _decode(jpeg.without_stray_bytes(whole), limits, look, to_rgb_by_pillow)
    except (Refused, jpeg.IncompleteError):
        raise refused from None
    except MemoryError as error:
        raise _out_of_memory(refused.header) from error


def _decode(
    content: bytes, limits: Limits, look: Callable[[Picture], T], to_rgb: Decoder
) -> tuple[Header, T]:
    header: Header | None = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if content.startswith(_WITH_EXIF):
                # To open these reads their EXIF as well. A careless one gives warnings, but is no
                # reason to refuse a picture that decodes.
                warnings.simplefilter("ignore", UserWarning)
            require_small_canvas(content, limits)
            shown = picture_of(content)
            image = open_image(shown)
            header = header_of(image)
            require_few_pixels(header, limits)
            # Decoders stop at the first picture, or fill in what is missing.
            if ends_early(content):
                raise Refused("truncated", _ENDS_EARLY, header)
            photo = to_rgb(image, shown)
            orientation = orientation_of(type(image).getexif, image)
            width, height = image.size if orientation < 5 else image.size[::-1]
            header = Header(width, height, header.format)
            turn = _TURNS.get(orientation)
            return header, look(photo if turn is None else reduce.image(photo).transpose(turn))
    except Refused:
        raise
    except MemoryError as error:
        raise _out_of_memory(header) from error
    except Exception as error:
        # On hostile bytes, decoders raise exceptions of any type: each is a refusal.
        if ends_early(content):
            raise Refused("truncated", _ENDS_EARLY, header) from error
        reason: RejectedReason = "truncated" if _is_truncated(content, error) else "damaged"
        raise Refused(reason, _one_line(error), header) from error


def _require_components(whole: bytes, limits: Limits, strictly: Decoder) -> None:
    """Raise Refused or IncompleteError unless each component of a progressive JPEG is whole.

    For a sampling that the strict decoder has no name for: it decodes each component by itself.
    """
    for component in progressive.components(whole):
        _decode(component, limits, lambda _: None, strictly)


def _ends_well(refused: Refused) -> bool:
    """Whether the strict decoder has met a few bytes before the end mark, and nothing before them.

    The last scan of a progressive JPEG only refines what the others hold; its blocks are not
    followed as those of a sequential one are.
    """
    found = _BEFORE_THE_END.search(refused.detail)
    return found is not None and int(found[1]) <= _FEW_BYTES


def _out_of_memory(header: Header | None) -> Refused:
    """A decoder takes memory by the pixel: a WebP's takes 16 bytes for each, more than others."""
    if header is None:
        return Refused("decoder_crashed", "more memory than worker_memory_mb")
    size = f"{header.width}x{header.height}"
    words = f"{size} of a {header.format} needs more memory than worker_memory_mb"
    return Refused("too_many_pixels", words, header)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _is_truncated(content: bytes, error: Exception) -> bool:
    """Return whether a file that could not be decoded ends before its picture does."""
    words = str(error).lower()
    return (
        len(content) < _SHORTEST_HEADER
        or isinstance(error, EOFError)
        or "truncated" in words
        or "not enough" in words
    )


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
