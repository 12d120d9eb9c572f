"""Follows the blocks of a JPEG through its entropy-coded data, without decoding a pixel.

These are whole blocks of a sequential JPEG, or those that hold only DC in a progressive one.

libjpeg fills in what is missing, and goes on behind what it could not read: its warnings do not
tell such damage from bytes that a careless program has left before a marker. To follow the codes
tells them apart (ITU-T T.81, annexes C and F). It takes about half a second for each megabyte, so
it is for files that the strict decoder has refused.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

_RESTART = re.compile(rb"\xff+[\xd0-\xd7]")
_LONGEST_SCAN = 8 << 20  # bytes; to follow more takes longer than a worker may
# Of a code: the bits that it takes with those behind it, and above these eight bits, how many
# coefficients of its block it stands for.
_SHIFT, _BITS = 8, 0xFF
_END_OF_BLOCK, _INVALID = 128, 1024
_LONGEST_BLOCK = 64 * 4  # bytes: codes have up to 16 bits, and up to 11 follow

Codes = list[int]  # by the next 16 bits
_ONE_BIT: Codes = [1] * (1 << 16)


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of the picture in pixels, and the sampling factors of each component by its id."""

    width: int
    height: int
    sampling: dict[int, tuple[int, int]]

    @classmethod
    def read(cls, body: bytes) -> "Frame":
        """Read a frame header. Raises IndexError."""
        height, width = (int.from_bytes(body[at : at + 2], "big") for at in (1, 3))
        factors = {body[6 + 3 * n]: body[7 + 3 * n] for n in range(body[5])}
        return cls(width, height, {id_: (each >> 4, each & 15) for id_, each in factors.items()})

    def mcus(self, components: list[int]) -> int:
        """How many MCUs a scan of these components has. Raises KeyError, ZeroDivisionError."""
        if len(components) == 1:
            width, height = self.size_of(components[0])
            return _ceil(width, 8) * _ceil(height, 8)
        across, down = self._most
        return _ceil(self.width, 8 * across) * _ceil(self.height, 8 * down)

    def size_of(self, component: int) -> tuple[int, int]:
        """Width and height of a component, in samples. Raises KeyError, ZeroDivisionError."""
        (across, down), (most_across, most_down) = self.sampling[component], self._most
        return _ceil(self.width * across, most_across), _ceil(self.height * down, most_down)

    @property
    def _most(self) -> tuple[int, int]:
        factors = self.sampling.values()
        return max(across for across, _ in factors), max(down for _, down in factors)


def _ceil(number: int, divisor: int) -> int:
    return -(-number // divisor)


@dataclass(slots=True)
class Tables:
    """The Huffman tables, by destination, and the restart interval, in MCUs, that hold at present.

    restart_interval: 0 without restart marks.
    """

    dc: dict[int, Codes] = field(default_factory=dict)
    ac: dict[int, Codes] = field(default_factory=dict)
    restart_interval: int = 0

    def add(self, body: bytes) -> None:
        """Take the tables of one segment. Raises IndexError."""
        at = 0
        while at < len(body):
            counts = body[at + 1 : at + 17]
            symbols = body[at + 17 : at + 17 + sum(counts)]
            tables = self.ac if body[at] >> 4 else self.dc
            steps = [_ac_step(each) if body[at] >> 4 else _dc_step(each) for each in symbols]
            tables[body[at] & 15] = _codes(counts, steps)
            at += 17 + sum(counts)


def _dc_step(symbol: int) -> int:
    return symbol if symbol <= 11 else _INVALID << _SHIFT


def _ac_step(symbol: int) -> int:
    run, size = symbol >> 4, symbol & 15
    if size == 0 and run != 15:
        return _END_OF_BLOCK << _SHIFT if run == 0 else _INVALID << _SHIFT
    return (run + 1) << _SHIFT | size


def _codes(counts: bytes, steps: list[int]) -> Codes:
    """T.81, C.2: codes of one length follow each other, and those of the next length go on."""
    codes = [_INVALID << _SHIFT | 16] * (1 << 16)
    code, step = 0, iter(steps)
    for length, count in enumerate(counts, 1):
        for _ in range(count):
            first, many = code << (16 - length), 1 << (16 - length)
            codes[first : first + many] = [next(step, _INVALID << _SHIFT) + length] * many
            code += 1
        code <<= 1
    return codes[: 1 << 16]


@dataclass(frozen=True, slots=True)
class Scan:
    """What one scan holds.

    mcu: the tables for DC and AC of each block of one MCU, in order; an empty one for no AC.
    """

    mcus: int
    restart_interval: int
    mcu: tuple[tuple[Codes, Codes], ...]

    @classmethod
    def read(cls, body: bytes, frame: Frame, tables: Tables) -> "Scan":
        """Read a scan header. Raises LookupError, ZeroDivisionError."""
        return cls._of(body, frame, tables, lambda used: (tables.dc[used >> 4],
                                                          tables.ac[used & 15]))  # fmt: skip

    @classmethod
    def read_dc(cls, body: bytes, frame: Frame, tables: Tables) -> "Scan":
        """Read the header of a progressive JPEG's scan of several components: of DC alone.

        A first scan has a code for each block, one that refines it a bit. Raises as `read`.
        """
        is_first = body[-1] >> 4 == 0
        return cls._of(
            body, frame, tables, lambda used: (tables.dc[used >> 4] if is_first else _ONE_BIT, [])
        )

    @classmethod
    def _of(
        cls, body: bytes, frame: Frame, tables: Tables, codes: Callable[[int], tuple[Codes, Codes]]
    ) -> "Scan":
        """codes: gives the tables for the byte that names a component's tables."""
        components = [body[1 + 2 * n] for n in range(body[0])]
        mcu = []
        for number, component in enumerate(components):
            across, down = frame.sampling[component] if len(components) > 1 else (1, 1)
            mcu += [codes(body[2 + 2 * number])] * (across * down)
        return cls(frame.mcus(components), tables.restart_interval, tuple(mcu))


def trimmed(data: bytes, scan: Scan) -> bytes | None:
    """Return the entropy-coded data of a scan without what follows its blocks before a mark.

    None if a block is missing or is none, or if what follows reads as blocks of the picture: then
    others have been lost before it.
    """
    intervals = _RESTART.split(data)
    each = scan.restart_interval or scan.mcus
    if len(data) > _LONGEST_SCAN or len(intervals) != _ceil(scan.mcus, each):
        return None
    kept = b""
    for number, interval in enumerate(intervals):
        mcus = min(each, scan.mcus - number * each)
        whole = _of_interval(interval.replace(b"\xff\x00", b"\xff"), scan.mcu, mcus)
        if whole is None:
            return None
        mark = bytes([0xFF, 0xD0 + (number - 1) % 8]) if number else b""
        kept += mark + whole.replace(b"\xff", b"\xff\x00")
    return kept


def _of_interval(data: bytes, mcu: tuple[tuple[Codes, Codes], ...], mcus: int) -> bytes | None:
    """Return the bytes of so many MCUs at the beginning of `data`, which has no stuffed bytes."""
    padded = np.frombuffer(data + bytes(_LONGEST_BLOCK), np.uint8).astype(np.uint32)
    words = (padded[:-3] << 24 | padded[1:-2] << 16 | padded[2:-1] << 8 | padded[3:]).data
    ends, end = 8 * len(data), 0
    for _ in range(mcus):
        end = _behind(words, mcu, end, ends)
        if end < 0:
            return None
    whole, rest = data[: _ceil(end, 8)], data[_ceil(end, 8) :]
    # Filler that was read for blocks begins before their end; one byte alike is a coincidence.
    if rest and (not _is_padded(data, end) or set(rest) == set(whole[-2:])):
        return None  # it has lost its place, or has read filler for blocks
    while rest and 0 <= end < ends:
        end = _behind(words, mcu, end, ends)
        if end >= 0 and ends - end < 8 and _is_padded(data, end):
            return None
    return whole


def _is_padded(data: bytes, end: int) -> bool:
    """Return whether the bits from `end` to the next byte are ones, as behind a last block."""
    mask = 0xFF >> (end & 7) if end & 7 else 0
    return mask == 0 or data[end >> 3] & mask == mask


def _behind(
    words: "memoryview[int]", mcu: tuple[tuple[Codes, Codes], ...], at: int, ends: int
) -> int:
    """Return the bit behind the MCU that begins at bit `at`; -1 if none does.

    words: the 32 bits from each byte on.
    """
    for dc, ac in mcu:
        if at >= ends:
            return -1
        step = dc[words[at >> 3] >> (16 - (at & 7)) & 0xFFFF]
        if step > _BITS:
            return -1
        at += step
        place = 1 if ac else 64
        while place < 64:
            step = ac[words[at >> 3] >> (16 - (at & 7)) & 0xFFFF]
            at += step & _BITS
            place += step >> _SHIFT
        if 64 < place < _END_OF_BLOCK or place >= _INVALID:
            return -1
    return at if at <= ends else -1
