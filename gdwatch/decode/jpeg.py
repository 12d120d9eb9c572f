"""The structure of a JPEG: its segments and scans, and how to write them anew without their faults.

ITU-T T.81, annexes B and F. Only entropy-coded data hold pixels. What stands between the segments,
in segments that only describe the picture, or behind the last scan may be wrong without a pixel
missing: `mended` leaves it out, and the strict decoder judges the rest.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gdwatch.decode.huffman import Frame, Scan, Tables, trimmed

END = b"\xff\xd9"
_SOI = b"\xff\xd8"
DHT, DQT, DRI, SOS = 0xC4, 0xDB, 0xDD, 0xDA
_DAC = 0xCC
_APP0, _APP1, _APP14 = 0xE0, 0xE1, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {DHT, 0xC8, _DAC}
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1, 0xC9), (0xC2, 0xCA)
_HUFFMAN_SEQUENTIAL = (0xC0, 0xC1)
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xdd\xe0-\xef\xfe]")
_END_OF_SCAN = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")  # neither a stuffed byte nor a restart


class IncompleteError(ValueError):
    """The scans of a JPEG do not hold all of its picture."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment. body: without marker and length. data: entropy-coded, behind a scan header."""

    marker: int
    body: bytes
    data: bytes = b""

    def to_bytes(self) -> bytes:
        """The segment as it stands in a file."""
        length = (2 + len(self.body)).to_bytes(2, "big")
        return bytes([0xFF, self.marker]) + length + self.body + self.data


def unsupported(content: bytes) -> str | None:
    """Return what no decoder here reads of a JPEG's frame, such as `12 bits`; None if nothing."""
    for segment in segments(content):
        if segment.marker in _FRAMES:
            if segment.marker not in (*_SEQUENTIAL, *_PROGRESSIVE):
                return "lossless or hierarchical coding"
            precision = segment.body[0] if segment.body else 8
            return None if precision == 8 else f"{precision} bits a sample"
    return None


def is_progressive(content: bytes) -> bool:
    """Return whether the coefficients come in several scans, each of which refines them."""
    return any(segment.marker in _PROGRESSIVE for segment in segments(content))


def mended(content: bytes) -> bytes:
    """Return a JPEG with the same scans, without the faults that concern no pixel.

    Left out: comments, profiles and makers' notes, bytes between segments, everything behind the
    last scan. Put right: the revision of JFIF, Adobe's transform, the parameters of sequential
    scans, the end mark.

    Raises IncompleteError if the file ends before its last scan does.
    """
    kept: list[Segment] = []
    for segment in segments(content):
        if segment.marker in _FRAMES and any(each.marker in _FRAMES for each in kept):
            break  # of another picture
        kept += _put_right(segment, kept)
        if segment.marker == SOS and _is_sequential(kept) and _has_all_coefficients(kept):
            break
    if not _has_all_coefficients(kept):
        raise IncompleteError("the file ends before the last scan of its picture")
    return file_of(kept)


def without_stray_bytes(content: bytes) -> bytes:
    """Return a mended JPEG without the bytes that stand between its blocks and the next mark.

    Every block of it is then known to be there.

    Raises IncompleteError if blocks are missing or made up, or if the coding is not one whose
    blocks can be followed.
    """
    try:
        return file_of(list(_trimmed(content)))
    except (LookupError, ArithmeticError) as error:
        raise IncompleteError("a header is not whole, or a table is missing") from error


def _trimmed(content: bytes) -> Iterator[Segment]:
    tables = Tables()
    frame: Frame | None = None
    for segment in segments(content):
        if segment.marker in _FRAMES:
            if segment.marker not in _HUFFMAN_SEQUENTIAL:
                raise IncompleteError("blocks of this coding cannot be followed")
            frame = Frame.read(segment.body)
        elif segment.marker == DHT:
            tables.add(segment.body)
        elif segment.marker == DRI:
            tables.restart_interval = int.from_bytes(segment.body[:2], "big")
        elif segment.marker == SOS and frame is not None:
            data = trimmed(segment.data, Scan.read(segment.body, frame, tables))
            if data is None:
                raise IncompleteError("blocks of the picture are missing or made up")
            segment = replace(segment, data=data)
        yield segment


def segments(content: bytes) -> Iterator[Segment]:
    """Yield the segments up to the end mark; bytes between them that are no marker are skipped."""
    at = 2
    while (found := _MARKER.search(content, at)) is not None:
        marker, start = content[found.end() - 1], found.end()
        if marker == END[1]:
            return
        at = start + max(2, int.from_bytes(content[start : start + 2], "big"))
        body, data = content[start + 2 : at], b""
        if marker == SOS:
            end = _END_OF_SCAN.search(content, at)
            data = content[at : end.start() if end else len(content)].rstrip(b"\xff")
            at = end.start() if end else len(content)
        yield Segment(marker, body, data)


def file_of(kept: list[Segment]) -> bytes:
    """Return the JPEG that has these segments."""
    return b"".join([_SOI, *(segment.to_bytes() for segment in kept), END])


def _put_right(segment: Segment, before: list[Segment]) -> list[Segment]:
    """Return what to write for a segment: itself, another or nothing. before: those written."""
    body = segment.body
    if segment.marker == _APP0 and body.startswith(b"JFIF\0"):
        return [replace(segment, body=body[:5] + b"\x01\x01" + body[7:])]
    if segment.marker == _APP14 and body.startswith(b"Adobe") and len(body) > 11:
        return [segment] if body[11] <= 2 else []
    if segment.marker == SOS and _is_sequential(before):
        components = body[: 1 + 2 * body[0]] if body else b""
        return [replace(segment, body=components + b"\x00\x3f\x00")]
    is_needed = segment.marker in (DHT, DQT, DRI, _DAC, SOS, _APP1) or segment.marker in _FRAMES
    return [segment] if is_needed else []


def _is_sequential(segments: list[Segment]) -> bool:
    return any(segment.marker in _SEQUENTIAL for segment in segments)


def _has_all_coefficients(segments: list[Segment]) -> bool:
    """Return whether the scans send every coefficient of every component to its last bit."""
    frame = next((each.body for each in segments if each.marker in _FRAMES), b"")
    wanted = {frame[at] for at in range(6, len(frame), 3)}
    low_bit = {component: [1] * 64 for component in wanted}
    for scan in (each.body for each in segments if each.marker == SOS):
        components = scan[1 : 1 + 2 * scan[0] : 2] if scan else b""
        first, last, approximation = scan[-3:] if len(scan) >= 3 else b"\x01\x00\x00"
        for component in wanted.intersection(components):
            for each in range(first, min(last, 63) + 1):
                low_bit[component][each] = approximation & 15
    return bool(wanted) and not any(map(any, low_bit.values()))
