"""Whether a file ends before its picture does, by the lengths that its format writes down.

Decoders stop at the first picture or fill up what is missing, each in its own way; these walks over
the structure do not. They read no pixel, and believe no length further than the file reaches.
"""

import re
import struct
from collections.abc import Callable

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # the last chunk, with its sum
_GIF_BLOCK = re.compile(rb"[!,;]")  # an extension, a picture, the end


def ends_early(content: bytes) -> bool:
    """Whether the data of a file of an accepted format end before its picture does.

    Of a JPEG the picture is the first one; what may follow it is not waited for. A file of another
    format is whole with all its pictures.
    """
    return any(
        magic.match(content) is not None and needs(content) > len(content)
        for magic, needs in _FORMATS
    )


def _needs_of_jpeg(content: bytes) -> int:
    """ITU-T T.81, B.1.1: an end of image behind the first scan, its thumbnail's passed over."""
    at = 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        if content[at + 1] == 0xFF:  # a fill byte
            at += 1
        elif content[at + 1] == 0x01 or 0xD0 <= content[at + 1] <= 0xD7:  # nothing follows
            at += 2
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    # Any end there will do: sought backwards, that of a whole file is found at once.
    found = content.rfind(b"\xff\xd9", at)
    return found + 2 if found >= 0 else len(content) + 1


def _needs_of_png(content: bytes) -> int:
    at = 8
    while at + 8 <= len(content):
        if content.startswith(_PNG_END, at):
            return at + len(_PNG_END)
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return len(content) + 1


def _needs_of_gif(content: bytes) -> int:
    """GIF89a: blocks until the trailer; each has sub-blocks until an empty one."""
    if len(content) < 13:
        return 13
    at = 13 + _colours(content[10])
    while (found := _GIF_BLOCK.search(content, at)) is not None:
        at = found.end()
        if found[0] == b";":
            return at
        if found[0] == b",":
            if at + 9 >= len(content):
                break
            at += 10 + _colours(content[at + 8])
        else:
            at += 1
        while at < len(content) and content[at]:
            at += 1 + content[at]
        at += 1
    return len(content) + 1


def _colours(flags: int) -> int:
    """Bytes of the colour table that these flags announce."""
    return 3 * 2 << (flags & 7) if flags & 0x80 else 0


def _needs_of_riff(content: bytes) -> int:
    return 8 + int.from_bytes(content[4:8], "little")


def _needs_of_boxes(content: bytes) -> int:
    """ISO/IEC 14496-12, 4.2: the end of the last box of the topmost level."""
    at = 0
    while at + 8 <= len(content):
        if not content[at + 4 : at + 8].isalnum():
            return at  # no box: something follows the file
        size = int.from_bytes(content[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(content[at + 8 : at + 16], "big")
        if size < 8:  # 0: to the end of the file
            return len(content)
        at += size
    return at if at >= len(content) else len(content) + 1


def _needs_of_tiff(content: bytes) -> int:
    """TIFF 6.0 and BigTIFF: a chain of pages, each with lists of where its pieces lie."""
    order = "<" if content.startswith(b"II") else ">"
    is_big = 43 in content[2:4]
    words = ("Q", "Q", 8) if is_big else ("H", "I", 4)
    count, pointer = (struct.Struct(order + word) for word in words[:2])
    entry = struct.Struct(f"{order}HH{words[1]}{words[2]}s")
    needs = 0
    seen = set()
    try:
        (at,) = pointer.unpack_from(content, 8 if is_big else 4)
        while at and at not in seen:
            seen.add(at)
            start = at + count.size
            end = start + count.unpack_from(content, at)[0] * entry.size
            (at,) = pointer.unpack_from(content, end)
            lists = {
                tag: _numbers(content, order, kind, number, value)
                for tag, kind, number, value in entry.iter_unpack(content[start:end])
            }
            for where, sizes in ((273, 279), (324, 325)):  # strips, tiles
                pieces = zip(lists.get(where, ()), lists.get(sizes, ()), strict=False)
                needs = max(needs, *(offset + size for offset, size in pieces), 0)
    except (struct.error, OverflowError):  # a number, a list or a page lies behind the end
        return len(content) + 1
    return needs


# By the types of fields, how wide their numbers are: only lists of whole numbers are looked at.
_WIDTHS = {3: "H", 4: "I", 5: "Q", 8: "H", 9: "I", 10: "Q", 11: "I", 12: "Q", 13: "I",
           16: "Q", 17: "Q", 18: "Q"}  # fmt: skip


def _numbers(content: bytes, order: str, kind: int, number: int, value: bytes) -> tuple[int, ...]:
    """The numbers of a field, which stand in `value` itself if they fit. Raises struct.error."""
    width = _WIDTHS.get(kind, "B")
    size = number * struct.calcsize(order + width)
    if size <= len(value):
        return struct.unpack_from(f"{order}{number}{width}", value)
    if size > len(content):
        raise struct.error
    at = int.from_bytes(value, "little" if order == "<" else "big")
    return struct.unpack_from(f"{order}{number}{width}", content, at)


_FORMATS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], int]], ...] = (
    (re.compile(rb"\xff\xd8"), _needs_of_jpeg),
    (re.compile(rb"\x89PNG"), _needs_of_png),
    (re.compile(rb"GIF8"), _needs_of_gif),
    (re.compile(rb"RIFF"), _needs_of_riff),
    (re.compile(rb"(?s)....ftyp"), _needs_of_boxes),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), _needs_of_tiff),
)
