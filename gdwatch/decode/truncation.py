"""Tells whether a file ends before its picture does, by the lengths that its format records.

Decoders stop at the first picture or fill in what is missing, each in its own way; these parsers of
the structure do not. They decode no pixel, and trust no length beyond the end of the file.
"""

import re
import struct
from collections.abc import Callable

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk, with its checksum
_GIF_BLOCK = re.compile(rb"[!,;]")  # extension, image, trailer


def ends_early(content: bytes) -> bool:
    """Return whether a file of an accepted format ends before its picture does.

    A JPEG may lack what follows its first picture. A file of another format must have all its
    pictures.
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


def _required_length_of_png(content: bytes) -> int:
    at = 8
    while at + 8 <= len(content):
        if content.startswith(_PNG_END, at):
            return at + len(_PNG_END)
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return len(content) + 1


def _required_length_of_gif(content: bytes) -> int:
    """GIF89a: blocks up to the trailer; each has sub-blocks up to an empty one."""
    if len(content) < 13:
        return 13
    at = 13 + _colour_table_length(content[10])
    while (found := _GIF_BLOCK.search(content, at)) is not None:
        at = found.end()
        if found[0] == b";":
            return at
        if found[0] == b",":
            if at + 9 >= len(content):
                break
            at += 10 + _colour_table_length(content[at + 8])
        else:
            at += 1
        while at < len(content) and content[at]:
            at += 1 + content[at]
        at += 1
    return len(content) + 1


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
    """TIFF 6.0 and BigTIFF: linked pages, each with offsets and sizes of its strips or tiles."""
    order = "<" if content.startswith(b"II") else ">"
    is_big = 43 in content[2:4]
    words = ("Q", "Q", 8) if is_big else ("H", "I", 4)
    count, pointer = (struct.Struct(order + word) for word in words[:2])
    entry = struct.Struct(f"{order}HH{words[1]}{words[2]}s")
    required = 0
    seen = set()
    try:
        (at,) = pointer.unpack_from(content, 8 if is_big else 4)
        while at and at not in seen:
            seen.add(at)
            start = at + count.size
            end = start + count.unpack_from(content, at)[0] * entry.size
            (at,) = pointer.unpack_from(content, end)
            fields = {
                tag: _numbers(content, order, kind, number, value)
                for tag, kind, number, value in entry.iter_unpack(content[start:end])
            }
            for offsets_tag, sizes_tag in ((273, 279), (324, 325)):  # strips, tiles
                pieces = zip(fields.get(offsets_tag, ()), fields.get(sizes_tag, ()), strict=False)
                required = max(required, *(offset + size for offset, size in pieces), 0)
    except (struct.error, OverflowError):  # a number, a field or a page lies behind the end
        return len(content) + 1
    return required


# The format of a field's numbers, by the field's type; only integers matter here.
_WIDTHS = {3: "H", 4: "I", 5: "Q", 8: "H", 9: "I", 10: "Q", 11: "I", 12: "Q", 13: "I",
           16: "Q", 17: "Q", 18: "Q"}  # fmt: skip


def _numbers(content: bytes, order: str, kind: int, number: int, value: bytes) -> tuple[int, ...]:
    """Return the numbers of a field, which `value` holds if they fit. Raises struct.error."""
    width = _WIDTHS.get(kind, "B")
    size = number * struct.calcsize(order + width)
    if size <= len(value):
        return struct.unpack_from(f"{order}{number}{width}", value)
    if size > len(content):
        raise struct.error
    at = int.from_bytes(value, "little" if order == "<" else "big")
    return struct.unpack_from(f"{order}{number}{width}", content, at)


# Each function returns the least length of a complete file, in bytes.
_FORMATS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], int]], ...] = (
    (re.compile(rb"\xff\xd8"), _required_length_of_jpeg),
    (re.compile(rb"\x89PNG"), _required_length_of_png),
    (re.compile(rb"GIF8"), _required_length_of_gif),
    (re.compile(rb"RIFF"), _required_length_of_riff),
    (re.compile(rb"(?s)....ftyp"), _required_length_of_boxes),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), _required_length_of_tiff),
)
