"""From the bytes of a file to an upright photograph, or to the reason why not.

The bytes are hostile until shown otherwise: formats are an allow list, sizes are checked in the
header before a pixel is decoded, warnings count as errors. Runs in a worker; never needs torch.
"""

import warnings
from collections.abc import Callable
from typing import TypeVar

from PIL import Image, ImageFile

from gdwatch.decode import reduce
from gdwatch.decode.colour import to_rgb
from gdwatch.decode.formats import (
    Limits,
    Refused,
    header_of,
    open_image,
    orientation_of,
    require_few_pixels,
    require_small_canvas,
)
from gdwatch.decode.reduce import Picture
from gdwatch.decode.truncation import ends_early
from gdwatch.values import Header, RejectedReason

T = TypeVar("T")
_SHORTEST_HEADER = 64  # bytes; with fewer, no format can say what it is

ImageFile.LOAD_TRUNCATED_IMAGES = False
Image.MAX_IMAGE_PIXELS = None  # our own limit is checked, in the header of every format


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
                require_small_canvas(content, limits)
                image = open_image(content)
                header = header_of(image)
            require_few_pixels(header, limits)
            if ends_early(
                content
            ):  # decoders stop at the first picture, or fill up what is missing
                raise Refused("truncated", "the file ends before its picture does", header)
            photo = to_rgb(image, content, least)
            orientation = orientation_of(type(image).getexif, image)
            width, height = image.size if orientation < 5 else image.size[::-1]
            header = Header(width, height, header.format)
            turn = _TURNS.get(orientation)
            return header, look(photo if turn is None else reduce.image(photo).transpose(turn))
    except Refused:
        raise
    except MemoryError as error:
        raise Refused("decoder_crashed", "more memory than worker_memory_mb", header) from error
    except Exception as error:
        # Decoders of hostile bytes raise whatever they like: every refusal of theirs is an answer.
        reason: RejectedReason = "truncated" if _is_cut(content, error) else "damaged"
        raise Refused(reason, _one_line(error), header) from error


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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
