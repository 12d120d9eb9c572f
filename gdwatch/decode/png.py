"""The chunks of a PNG, and which of them decide what it shows.

PNG (third edition), sections 5 and 11. Texts, profiles and animations are side data: what is wrong
with them, or what size they unpack to, says nothing of the picture.
"""

import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"\0\0\0\0IEND\xaeB`\x82"
_PIXELS = (b"IDAT", b"fdAT")
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT")
_LONGEST_TEXT = 1 << 20  # bytes, unpacked; Pillow reads no longer ones


def picture_of(content: bytes) -> bytes:
    """Return a PNG with the same picture, its orientation before its pixels, and nothing else.

    A wrong checksum stays wrong where a chunk holds pixels or their colours; side data that have
    one are left out.
    """
    before, pixels = [], []
    for kind, chunk in _chunks(content):
        if kind == b"IDAT":
            pixels.append(chunk)
        elif kind in _CRITICAL or (_is_wanted(kind, chunk[8:-4]) and _is_sound(chunk)):
            before.append(chunk)
    return b"".join([SIGNATURE, *before, *pixels, _END])


def required_length(content: bytes) -> int:
    """Return the least length of a complete file, in bytes: its end mark may be missing."""
    at, has_pixels = len(SIGNATURE), False
    while at + 8 <= len(content):
        kind, end = content[at + 4 : at + 8], _end_of_chunk(content, at)
        if kind == b"IEND":
            return at
        is_cut = end > len(content) and (kind in _PIXELS or not has_pixels)
        if is_cut or not kind.isalpha():
            return len(content) + 1
        has_pixels = has_pixels or kind == b"IDAT"
        at = end
    return len(content) if has_pixels else len(content) + 1


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the bytes of each chunk up to the end mark."""
    at = len(SIGNATURE)
    while at + 8 <= len(content) and content[at + 4 : at + 8] != b"IEND":
        end = _end_of_chunk(content, at)
        yield content[at + 4 : at + 8], content[at:end]
        at = end


def _end_of_chunk(content: bytes, at: int) -> int:
    return at + 12 + int.from_bytes(content[at : at + 4], "big")


def _is_sound(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]).to_bytes(4, "big") == chunk[-4:]


def _is_wanted(kind: bytes, body: bytes) -> bool:
    """Return whether side data are transparency, or may say how the picture is to be turned."""
    if kind in (b"tRNS", b"eXIf"):
        return True
    name, _, text = body.partition(b"\0")
    if kind == b"iTXt" and name == b"XML:com.adobe.xmp":
        return text[:1] == b"\0" and len(text) <= _LONGEST_TEXT
    if name != b"Raw profile type exif":  # EXIF as ImageMagick wrote it before there was eXIf
        return False
    return len(text) <= _LONGEST_TEXT and (kind == b"tEXt" or _unpacks_to_little(text[1:]))


def _unpacks_to_little(packed: bytes) -> bool:
    unpacking = zlib.decompressobj()
    try:
        unpacking.decompress(packed, _LONGEST_TEXT)
    except zlib.error:
        return False
    return not unpacking.unconsumed_tail
