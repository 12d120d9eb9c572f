"""TIFFs: their pages, and their pixels compared with those that tifffile has written."""

import io
import struct
from itertools import product

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gdwatch.decode import reduce
from gdwatch.decode.decoder import decode
from gdwatch.decode.formats import Limits, Refused
from gdwatch.decode.tiff import Tiff
from gdwatch.values import Header
from tests import build
from tests.build import encode

LIMITS = Limits(max_pixels=1_000_000)


def scene(size: tuple[int, int] = (83, 61)) -> Image.Image:
    return Image.open(io.BytesIO(build.astronaut())).resize(size).convert("RGB")


def seen(content: bytes) -> tuple[Header, np.ndarray]:
    return decode(content, LIMITS, lambda photo: np.asarray(reduce.image(photo)))


def reason_of(content: bytes) -> str:
    with pytest.raises(Refused) as caught:
        seen(content)
    return caught.value.reason


# ------------------------------------------------------------------------- pixels


KINDS = {
    "uint8": lambda grey: grey,
    "uint16": lambda grey: grey.astype(np.uint16) * 257,
    "uint32": lambda grey: grey.astype(np.uint32) * 16843009,
    "int8": lambda grey: (grey.astype(int) - 128).astype(np.int8),
    "int16": lambda grey: (grey.astype(int) * 257 - 32768).astype(np.int16),
    "float32": lambda grey: (grey / 255).astype(np.float32),
    "float64": lambda grey: grey / 255,
}
# Photometric interpretation, kind, planar configuration and alpha of what must be read. Everything
# else may be refused instead, which is better than another picture.
READ = {
    *product(["minisblack"], ["uint8", "uint16", "int16", "float32"], ["contig"], [0]),
    *product(["miniswhite"], ["uint8"], ["contig"], [0]),
    *product(["minisblack"], ["uint8"], ["contig"], [1]),
    *product(["rgb"], ["uint8"], ["contig", "separate"], [0, 1]),
    *product(["rgb"], ["uint16"], ["contig"], [0, 1]),
}


def seen_or_reason(content: bytes) -> np.ndarray | str:
    try:
        return seen(content)[1]
    except Refused as refused:
        return refused.reason


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
def test_a_tiff_is_read_as_it_is_meant_or_refused(photometric: str, kind: str) -> None:
    colours = np.asarray(scene())
    grey = np.asarray(scene().convert("L"))
    meant = colours if photometric == "rgb" else np.dstack([grey] * 3)
    stored = KINDS[kind](
        {"rgb": colours, "minisblack": grey, "miniswhite": 255 - grey}[photometric]
    )
    for planar, alpha, packing, order in product(
        ("contig", "separate"), (0, 1), ((None, False), ("zlib", False), ("zlib", True)), "<>"
    ):
        options, pixels = {}, stored
        if alpha:
            full = KINDS[kind](np.full_like(grey, 255))
            pixels, options = np.dstack([stored, full]), {"extrasamples": ["unassalpha"]}
        if photometric == "rgb" or alpha:
            options["planarconfig"] = planar
            pixels = np.moveaxis(pixels, -1, 0) if planar == "separate" else pixels
        compression, predictor = packing
        if predictor and kind.startswith("float"):
            continue  # another predictor, which tifffile does not write by itself
        stream = io.BytesIO()
        tifffile.imwrite(
            stream, pixels, photometric=photometric, compression=compression, metadata=None,
            predictor=2 if predictor else None, byteorder=order, **options,
        )  # fmt: skip
        case = (photometric, kind, planar, alpha, packing, order)
        found = seen_or_reason(stream.getvalue())
        if isinstance(found, str):
            assert found == "unsupported_format", case
            swapped = order == ">" and compression and kind in ("int16", "float32")
            assert swapped or case[:4] not in READ, case
        else:
            assert np.abs(found.astype(int) - meant).mean() < 3, case


def test_16_bit_grey_with_white_for_zero_is_no_negative() -> None:
    grey = np.asarray(scene().convert("L"))
    stream = io.BytesIO()
    white = 65535 - grey.astype(np.uint16) * 257
    tifffile.imwrite(stream, white, photometric="miniswhite", metadata=None, byteorder="<")
    assert np.abs(seen(stream.getvalue())[1][..., 0].astype(int) - grey).max() <= 1


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate", None])
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_what_tifffile_reads_of_a_packed_tiff_is_what_is_seen(
    mode: str, compression: str | None
) -> None:
    image = scene().convert(mode)
    _, found = seen(encode(image, "TIFF", compression=compression))
    assert np.abs(found.astype(int) - np.asarray(image.convert("RGB"))).mean() < 3


@pytest.mark.parametrize("photometric", [8, 9, 32844])
def test_colours_that_no_reader_here_knows_are_unsupported(photometric: int) -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.asarray(scene()), photometric="rgb", metadata=None)
    content = bytearray(stream.getvalue())
    at = content.index(struct.pack("<HHI", 262, 3, 1)) + 8
    content[at : at + 2] = struct.pack("<H", photometric)
    assert reason_of(bytes(content)) == "unsupported_format"


# ------------------------------------------------------------------------- side data


def with_field(content: bytes, field: bytes) -> bytes:
    """Add one field to the first page, whose fields move behind the end of the file."""
    (at,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, at)
    fields = content[at + 2 : at + 2 + 12 * count]
    page = struct.pack("<H", count + 1) + fields + field + bytes(4)
    return content[:4] + struct.pack("<I", len(content)) + content[8:] + page


def test_side_data_do_not_decide_over_the_picture() -> None:
    content = encode(scene(), "TIFF")
    for field in (
        struct.pack("<HHIHH", 274, 3, 2, 1, 1),  # two orientations
        struct.pack("<HHII", 65000, 7, 1000, 10_000_000),  # a private field past the end
        struct.pack("<HHII", 34665, 4, 1, 10_000_000),  # EXIF past the end
        struct.pack("<HHII", 700, 1, 500_000, 100),  # XMP that is longer than the file
        struct.pack("<HHII", 330, 4, 1, 10_000_000),  # a page below it past the end
    ):
        _, found = seen(with_field(content, field))
        assert np.array_equal(found, np.asarray(scene())), field
    (at,) = struct.unpack_from("<I", content, 4)
    end = at + 2 + 12 * struct.unpack_from("<H", content, at)[0]
    elsewhere = content[:end] + struct.pack("<I", 10_000_000) + content[end + 4 :]
    assert np.array_equal(seen(elsewhere)[1], np.asarray(scene()))


def test_a_tiff_may_lack_what_follows_its_first_page() -> None:
    pages = encode(scene(), "TIFF", save_all=True, append_images=[scene().rotate(90)])
    end = len(encode(scene(), "TIFF"))
    for cut in (end, end + 100, len(pages) - 100):
        assert np.array_equal(seen(pages[:cut])[1], np.asarray(scene()))
    assert reason_of(pages[: end - 1]) == "truncated"


# ------------------------------------------------------------------------- pages


def written(*pages: tuple[tuple[int, int], int], below: bool = False, big: bool = False) -> bytes:
    """Pages of these sizes, each with its NewSubfileType; `below`: the others are the first's."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, bigtiff=big) as file:
        for number, (size, kind) in enumerate(pages):
            file.write(
                np.asarray(scene(size)), photometric="rgb", subfiletype=kind, metadata=None,
                subifds=len(pages) - 1 if below and not number else 0,
            )  # fmt: skip
    return stream.getvalue()


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("below", [False, True])
def test_a_tiff_is_judged_by_its_full_page_not_by_a_smaller_one(below: bool, big: bool) -> None:  # noqa: FBT001
    content = written(((16, 12), 1), ((83, 61), 0), below=below, big=big)
    header, found = seen(content)
    assert header == Header(83, 61, "TIFF")
    assert np.array_equal(found, np.asarray(scene()))
    assert reason_of(content[:-100]) == "truncated"


def test_a_tiff_of_a_reduced_page_alone_is_judged_by_it() -> None:
    assert seen(written(((16, 12), 1)))[0] == Header(16, 12, "TIFF")


def test_the_first_of_several_full_pages_counts() -> None:
    assert seen(written(((83, 61), 0), ((120, 90), 0)))[0] == Header(83, 61, "TIFF")


def with_number(content: bytes, tag: int, number: int) -> bytes:
    """Change a field that holds one 16-bit number; pages are looked at, no pixel is decoded."""
    at = content.index(struct.pack("<HHI", tag, 3, 1)) + 8
    return content[:at] + struct.pack("<H", number) + content[at + 2 :]


def below_a_thumbnail(content: bytes) -> bytes:
    """A file whose first page is a thumbnail, and that of `content` is below it."""
    thumbnail = encode(scene((16, 12)), "TIFF")
    (at,) = struct.unpack_from("<I", content, 4)
    page = struct.pack("<HHII", 330, 4, 1, len(thumbnail) + at)
    return with_field(thumbnail + content, page)


PLAIN = encode(scene((40, 30)), "TIFF")
RAW = {
    "DNG": with_field(PLAIN, struct.pack("<HHI4B", 50706, 1, 4, 1, 4, 0, 0)),
    "colour filters": with_number(PLAIN, 262, 32803),
    "linear raw": with_number(PLAIN, 262, 34892),
    "Nikon's compression": with_number(PLAIN, 259, 34713),
    "Sony's compression": with_number(PLAIN, 259, 32767),
}


@pytest.mark.parametrize("name", RAW)
def test_raw_data_of_a_camera_are_unsupported(name: str) -> None:
    assert reason_of(RAW[name]) == "unsupported_format"
    assert reason_of(below_a_thumbnail(RAW[name])) == "unsupported_format"


def test_pages_that_lead_round_in_a_circle_come_to_an_end() -> None:
    page = struct.pack("<HI", 0, 8)  # no fields, and the next page is itself
    assert len(Tiff(b"II*\0" + struct.pack("<I", 8) + page).pages) == 1


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64), st.integers(0, 400))
def test_any_bytes_have_an_answer(noise: bytes, at: int) -> None:
    content = written(((16, 12), 1), ((20, 12), 0))
    broken = content[:at] + noise + content[at + len(noise) :]
    found = Tiff(broken)
    assert found.required_length >= 0
    assert found.is_raw in (True, False)
