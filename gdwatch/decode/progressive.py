"""Takes a progressive JPEG apart: a grey one for each component, which the strict decoder reads.

That decoder refuses samplings that it has no name for, whatever the scans hold. But the blocks of a
scan of one component are those of a grey picture (ITU-T T.81, A.2.2), so such scans are copied. The
other scans hold nothing but the first coefficient of each block, DC (T.81, G.1.1.1.1): their codes
are followed here, and zeros stand for them in the grey pictures.
"""

from collections.abc import Iterator

from gdwatch.decode.huffman import Frame, Scan, Tables, trimmed
from gdwatch.decode.jpeg import DHT, DQT, DRI, SOS, IncompleteError, Segment, file_of, segments

_SOF2 = 0xC2
_ONE_CODE = bytes([0, 1, *bytes(15), 0])  # a DC table in which the bit 0 stands for the number 0


def components(content: bytes) -> list[bytes]:
    """Return a grey JPEG for each component, with the scans of that component alone.

    content: a progressive JPEG as `jpeg.mended` returns it.

    Raises IncompleteError if a scan of several components lacks blocks, or has a coding that cannot
    be followed.
    """
    found = list(segments(content))
    header = next((each.body for each in found if each.marker == _SOF2), None)
    if header is None:
        raise IncompleteError("blocks of this coding cannot be followed")
    try:
        frame = Frame.read(header)
        _require_blocks(found, frame)
        return [file_of(list(_grey(found, header, frame, id_))) for id_ in frame.sampling]
    except (LookupError, ArithmeticError) as error:
        raise IncompleteError("a header is not whole, or a table is missing") from error


def _require_blocks(found: list[Segment], frame: Frame) -> None:
    """Raise IncompleteError unless all blocks are there in each scan of several components."""
    tables = Tables()
    for segment in found:
        if segment.marker == DHT:
            tables.add(segment.body)
        elif segment.marker == DRI:
            tables.restart_interval = int.from_bytes(segment.body[:2], "big")
        elif segment.marker == SOS and segment.body[0] > 1:
            scan = Scan.read_dc(segment.body, frame, tables)
            if trimmed(segment.data, scan) is None:
                raise IncompleteError("blocks of the picture are missing or made up")


def _grey(found: list[Segment], header: bytes, frame: Frame, id_: int) -> Iterator[Segment]:
    """Yield the segments of a JPEG of one component, id_. Raises IndexError, ZeroDivisionError."""
    width, height = frame.size_of(id_)
    table = next(header[at + 2] for at in range(6, len(header), 3) if header[at] == id_)
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    yield from (each for each in found if each.marker == DQT)
    yield Segment(_SOF2, header[:1] + size + bytes([1, id_, 0x11, table]))
    yield Segment(DHT, _ONE_CODE)
    yield Segment(SOS, bytes([1, id_, 0, 0, 0, 0]), bytes(-(-frame.mcus([id_]) // 8)))
    for each in found:
        is_own = each.marker == SOS and each.body[:2] == bytes([1, id_])
        if is_own or each.marker in (DHT, DRI):
            yield each
