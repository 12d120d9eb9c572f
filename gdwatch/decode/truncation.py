"""Tells whether a file ends before its picture does, by the lengths that its format records.

Decoders stop at the first picture or fill in what is missing, each in its own way; these parsers of
the structure do not. They decode no pixel, and trust no length beyond the end of the file.
"""

import re
from collections.abc import Callable

from gdwatch.decode import png, tiff
from gdwatch.decode.tiff import Tiff

_GIF_BLOCK = re.compile(rb"[!,;]")  # extension, image, trailer


def ends_early(content: bytes) -> bool:
    """Return whether a file of an accepted format ends before its picture does.

    A JPEG may lack what follows its first picture, and a TIFF what follows its photograph. A file
    of another format must have all its pictures; the end mark of a PNG or GIF may be missing.
    """
    return any(
        magic.match(content) is not None and required_length(content) > len(content)
        for magic, required_length in _FORMATS
    )


def _required_length_of_jpeg(content: bytes) -> int:
    """ITU-T T.81, B.1.1: up to an end-of-image marker behind the first scan, not a thumbnail's."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        if content[at + 1] == 0xFF:  # a fill byte
            at += 1
        elif content[at + 1] == 0x01 or 0xD0 <= content[at + 1] <= 0xD7:  # it has no segment
            at += 2
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    # Any such marker will do: searching backwards finds that of a whole file at once.
    found = content.rfind(b"\xff\xd9", at)
    return found + 2 if found >= 0 else len(content) + 1


def _required_length_of_gif(content: bytes) -> int:
    """GIF89a: blocks up to the trailer, which may be missing; each ends with an empty sub-block."""
    if len(content) < 13:
        return 13
    at, has_picture = 13 + _colour_table_length(content[10]), False
    while (found := _GIF_BLOCK.search(content, at)) is not None:
        at = found.end()
        if found[0] == b";":
            return at
        if found[0] == b",":
            if at + 9 >= len(content):
                return len(content) + 1
            at += 10 + _colour_table_length(content[at + 8])
        else:
            at += 1
        while at < len(content) and content[at]:
            at += 1 + content[at]
        at += 1
        has_picture = has_picture or found[0] == b","
    # The empty sub-block behind a last picture may be missing as well; its rows are decoded.
    return (
        len(content) if has_picture and len(content) <= at <= len(content) + 1 else len(content) + 1
    )


def _colour_table_length(flags: int) -> int:
    """Return the length in bytes of the colour table that these flags announce."""
    return 3 * 2 << (flags & 7) if flags & 0x80 else 0


def _required_length_of_riff(content: bytes) -> int:
    return 8 + int.from_bytes(content[4:8], "little")


def _required_length_of_boxes(content: bytes) -> int:
    """ISO/IEC 14496-12, 4.2: up to the end of the last top-level box."""
    at = 0
    while at + 8 <= len(content):
        if not content[at + 4 : at + 8].isalnum():
            return at  # not a box: other data follow the picture
        size = int.from_bytes(content[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(content[at + 8 : at + 16], "big")
        if size < 8:  # 0: to the end of the file
            return len(content)
        at += size
    return at if at >= len(content) else len(content) + 1


def _required_length_of_tiff(content: bytes) -> int:
    return Tiff(content).required_length


# Each function returns the least length of a complete file, in bytes.
_FORMATS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], int]], ...] = (
    (re.compile(rb"\xff\xd8"), _required_length_of_jpeg),
    (re.compile(rb"\x89PNG"), png.required_length),
    (re.compile(rb"GIF8"), _required_length_of_gif),
    (re.compile(rb"RIFF"), _required_length_of_riff),
    (re.compile(rb"(?s)....ftyp"), _required_length_of_boxes),
    (tiff.MAGIC, _required_length_of_tiff),
)
