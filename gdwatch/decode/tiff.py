"""The pages of a TIFF: which of them is the photograph, and whether it is a camera's raw data.

TIFF 6.0, BigTIFF, TIFF/EP and DNG 1.7. Only the fields that are needed for this are read.
"""

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass

MAGIC = re.compile(rb"II[*+]\0|MM\0[*+]")
_KIND, _OLD_KIND = 254, 255
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _SAMPLE_FORMAT = 258, 259, 262, 277, 284, 339
_COLOURS, _JPEG_TABLES = 320, 347
_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES = 273, 279, 324, 325
_SUB_PAGES, _DNG_VERSION = 330, 50706
_WANTED = {_KIND, _OLD_KIND, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _PLANAR, _SAMPLE_FORMAT,
           _COLOURS, _JPEG_TABLES, _STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES, _SUB_PAGES,
           _DNG_VERSION}  # fmt: skip
_COLOUR_FILTERS = (32803, 34892)  # photometric interpretations: before and after demosaicing
_RAW_COMPRESSIONS = (32767, 32769, 32770, 34713, 65535)  # of Sony, Epson, Samsung, Nikon, Pentax
_PHOTOMETRICS = (0, 1, 2, 3, 5, 6)  # grey twice, RGB, palette, CMYK, YCbCr
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_MOST_PAGES = 64  # that are looked at
# The format of a field's numbers, by the field's type; only integers matter here.
_WIDTHS = {3: "H", 4: "I", 5: "Q", 8: "H", 9: "I", 10: "Q", 11: "I", 12: "Q", 13: "I",
           16: "Q", 17: "Q", 18: "Q"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Page:
    """One page. at: where its directory begins. fields: the numbers of each wanted field."""

    at: int
    fields: dict[int, tuple[int, ...]]

    def first(self, tag: int) -> int:
        """The first number of a field; 0 without one."""
        return next(iter(self.fields.get(tag, ())), 0)

    @property
    def is_reduced(self) -> bool:
        """Whether it is a smaller version of another page."""
        return self.first(_KIND) & 1 == 1 or self.first(_OLD_KIND) == 2

    @property
    def is_raw(self) -> bool:
        """Whether it is what a sensor has measured, or says that such data are in the file."""
        return (
            _DNG_VERSION in self.fields
            or self.first(_PHOTOMETRIC) in _COLOUR_FILTERS
            or self.first(_COMPRESSION) in _RAW_COMPRESSIONS
        )

    @property
    def is_planar(self) -> bool:
        """Whether each channel is stored by itself."""
        return self.first(_PLANAR) == 2 and self.first(_SAMPLES) > 1

    @property
    def is_compressed(self) -> bool:
        """Whether a decoder of libtiff unpacks it, which swaps the bytes of large numbers."""
        return self.first(_COMPRESSION) > 1

    @property
    def layout(self) -> str:
        """How it stores a pixel, in words."""
        kinds = {_SIGNED: "signed numbers", _FLOAT: "floats"}
        kind = kinds.get(self.first(_SAMPLE_FORMAT), "numbers")
        planes = ", in planes" if self.is_planar else ""
        return (
            f"{self.first(_SAMPLES) or 1} {kind} of {self.first(_BITS) or 1} bits{planes}, "
            f"photometric interpretation {self.first(_PHOTOMETRIC)}"
        )

    def is_read_right(self, *, is_big_endian: bool) -> bool:
        """Whether Pillow reads its pixels as they are meant; found by comparing it with tifffile.

        Of the others it refuses some, and makes another picture of some.
        """
        bits, kind = self.first(_BITS) or 1, self.first(_SAMPLE_FORMAT) or _UNSIGNED
        if self.first(_PHOTOMETRIC) not in _PHOTOMETRICS:
            return False
        if bits <= 8:
            return kind != _SIGNED and not (self.is_planar and self.first(_SAMPLES) == 2)
        if bits == 16 and kind == _UNSIGNED:
            return self.is_compressed or not self.is_planar
        swaps_twice = is_big_endian and self.is_compressed
        is_grey = self.first(_SAMPLES) <= 1
        return is_grey and not swaps_twice and (bits, kind) in ((16, 2), (32, 2), (32, 3))

    @property
    def required_length(self) -> int:
        """The bytes up to the last one of its strips or tiles."""
        ends = [
            offset + size
            for offsets, sizes in ((_STRIPS, _STRIP_SIZES), (_TILES, _TILE_SIZES))
            for offset, size in zip(
                self.fields.get(offsets, ()), self.fields.get(sizes, ()), strict=False
            )
        ]
        return max(ends, default=0)


class Tiff:
    """A TIFF as its header and its pages describe it.

    pages: the linked ones and those below them, as far as they can be read.
    is_whole: whether each page that is linked to could be read.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._order = "<" if content.startswith(b"II") else ">"
        self._is_big = 43 in content[2:4]
        count, pointer, inline = ("Q", "Q", 8) if self._is_big else ("H", "I", 4)
        self._count, self._pointer = (struct.Struct(self._order + each) for each in count + pointer)
        self._entry = struct.Struct(f"{self._order}HH{pointer}{inline}s")
        self._head = 8 if self._is_big else 4
        self.pages: list[Page] = []
        self.is_whole = True
        try:
            self._follow(self._pointer.unpack_from(content, self._head))
        except struct.error:
            self.is_whole = False

    @property
    def photograph(self) -> Page | None:
        """The first page that is no smaller version of another; the first without one."""
        full = (page for page in self.pages if not page.is_reduced)
        return next(full, self.pages[0] if self.pages else None)

    @property
    def is_raw(self) -> bool:
        """Whether it holds raw data of a camera."""
        return any(page.is_raw for page in self.pages)

    @property
    def is_read_right(self) -> bool:
        """Whether Pillow reads the photograph's pixels as they are meant."""
        page = self.photograph
        return page is None or page.is_read_right(is_big_endian=self._order == ">")

    @property
    def required_length(self) -> int:
        """The least length of a file with the whole photograph, in bytes."""
        page = self.photograph
        if page is None or (page.is_reduced and not self.is_whole):
            return len(self._content) + 1
        return page.required_length

    def beginning_with(self, page: Page) -> bytes:
        """Return the file with `page` for its first."""
        pointer = self._pointer.pack(page.at)
        return self._content[: self._head] + pointer + self._content[self._head + len(pointer) :]

    def _follow(self, addresses: Iterable[int]) -> None:
        """Read the pages at these addresses, those below each, and those linked behind each."""
        for at in addresses:
            while at and at not in [page.at for page in self.pages]:
                if len(self.pages) == _MOST_PAGES:
                    return
                try:
                    page, following = self._read(at)
                except (struct.error, OverflowError):  # it lies behind the end
                    self.is_whole = False
                    break
                self.pages.append(page)
                self._follow(page.fields.get(_SUB_PAGES, ()))
                at = following

    def _read(self, at: int) -> tuple[Page, int]:
        """Return the page at this address, and the address of the next; 0 behind the last.

        Raises struct.error, OverflowError.
        """
        start = at + self._count.size
        end = start + self._count.unpack_from(self._content, at)[0] * self._entry.size
        (following,) = self._pointer.unpack_from(self._content, end)
        fields: dict[int, tuple[int, ...]] = {}
        for tag, kind, number, value in self._entry.iter_unpack(self._content[start:end]):
            if tag in _WANTED and tag not in fields:
                fields[tag] = self._numbers(kind, number, value)
        return Page(at, fields), following

    def _numbers(self, kind: int, number: int, value: bytes) -> tuple[int, ...]:
        """Return the numbers of a field, which `value` holds if they fit. Raises struct.error."""
        width = _WIDTHS.get(kind, "B")
        size = number * struct.calcsize(self._order + width)
        if size <= len(value):
            return struct.unpack_from(f"{self._order}{number}{width}", value)
        if size > len(self._content):
            raise struct.error
        at = int.from_bytes(value, "little" if self._order == "<" else "big")
        return struct.unpack_from(f"{self._order}{number}{width}", self._content, at)
