import io
import struct
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from gdwatch.decode import reduce
from gdwatch.decode.decoder import decode
from gdwatch.decode.formats import FORMATS, Limits, Refused, sniff
from gdwatch.values import Header
from tests import build
from tests.build import encode
from tests.faults.corpus import HEADERS

LIMITS = Limits(max_pixels=64_000_000)
SIDE = 32
WHOLE = partial(reduce.whole, side=SIDE)


def photo(size: tuple[int, int] = (160, 120)) -> Image.Image:
    """A part of a real photograph, its upper left quarter red, unlike the other quarters."""
    image = Image.open(io.BytesIO(build.grace_hopper())).crop((150, 50, 390, 230)).resize(size)
    image.paste((255, 0, 0), (0, 0, size[0] // 2, size[1] // 2))
    return image


def refused(content: bytes, limits: Limits = LIMITS) -> Refused:
    with pytest.raises(Refused) as caught:
        decode(content, limits, WHOLE)
    return caught.value


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other.astype(float)).mean())


# ------------------------------------------------------------------------- formats


@pytest.mark.parametrize("format_", FORMATS)
def test_a_photograph_of_every_format_is_decoded(format_: str) -> None:
    image = photo()
    header, pixels = decode(encode(image, format_), LIMITS, WHOLE)
    assert header == Header(160, 120, format_)
    assert (pixels.shape, pixels.dtype) == ((SIDE, SIDE, 3), np.uint8)
    whole = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    assert difference(pixels, whole) < (1 if format_ in ("PNG", "BMP", "TIFF") else 12)


def test_real_photographs_are_decoded() -> None:
    header, _ = decode(build.grace_hopper(), LIMITS, WHOLE)
    assert header == Header(512, 600, "JPEG")
    header, _ = decode(build.astronaut(), LIMITS, WHOLE)
    assert header == Header(512, 512, "PNG")


def test_a_jpeg_gives_the_pixels_that_pillow_gives() -> None:
    content = build.grace_hopper()
    _, pixels = decode(content, LIMITS, WHOLE)
    image = Image.open(io.BytesIO(content)).convert("RGB")
    whole = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    assert np.abs(pixels.astype(int) - whole).max() <= 1


@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 300), st.integers(1, 8))
def test_a_large_jpeg_is_decoded_smaller_and_keeps_its_least(
    width: int, height: int, least: int, orientation: int
) -> None:
    image = Image.fromarray(build.pixels(1, size=(width, height)))
    content = with_orientation(image, orientation, "JPEG")
    header, size = decode(content, LIMITS, lambda photo: reduce.image(photo).size, least)
    upright = (width, height) if orientation < 5 else (height, width)
    assert (header.width, header.height) == upright
    smaller = {factor: tuple(-(-side // factor) for side in upright) for factor in (1, 2, 4, 8)}
    assert size in [smaller[1], *(sides for sides in smaller.values() if max(sides) >= least)]
    assert size == smaller[8] or max(size) <= 2 * least


def test_a_jpeg_decoded_smaller_shows_the_same() -> None:
    content = encode(photo((1600, 1200)), "JPEG", quality=90)
    _, whole = decode(content, LIMITS, WHOLE)
    _, quarter = decode(content, LIMITS, WHOLE, 400)
    assert difference(whole, quarter) < 2


def test_a_progressive_jpeg_is_decoded() -> None:
    header, _ = decode(encode(photo(), "JPEG", progressive=True), LIMITS, WHOLE)
    assert header.format == "JPEG"


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    for format_ in ("GIF", "WEBP", "PNG"):
        content = encode(frames[0], format_, save_all=True, append_images=frames[1:])
        _, pixels = decode(content, LIMITS, WHOLE)
        assert pixels[0, 0, 0] > 240, format_
        assert pixels[0, 0, 2] < 15, format_


def test_the_name_of_a_format_is_not_its_suffix() -> None:
    # Only the bytes are handed over: there is no name that could mislead.
    assert decode(encode(photo(), "PNG"), LIMITS, WHOLE)[0].format == "PNG"
    assert sniff(encode(photo(), "WEBP")) == "WEBP"


def test_a_panorama_one_pixel_high_is_decoded() -> None:
    header, pixels = decode(encode(Image.new("RGB", (60_000, 1), "red"), "PNG"), LIMITS, WHOLE)
    assert (header.width, header.height) == (60_000, 1)
    assert pixels[5, 5].tolist() == [255, 0, 0]


# ------------------------------------------------------------------------- modes


def flat(pixels: np.ndarray) -> list[int]:
    """The one colour of a picture."""
    assert difference(pixels, pixels[0, 0]) < 1
    return [int(value) for value in pixels[0, 0]]


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_grey_becomes_three_equal_channels(format_: str) -> None:
    _, pixels = decode(encode(Image.new("L", (40, 40), 77), format_), LIMITS, WHOLE)
    assert flat(pixels) == pytest.approx([77, 77, 77], abs=3)


def test_black_and_white_is_decoded() -> None:
    _, pixels = decode(encode(Image.new("1", (40, 40), 1), "PNG"), LIMITS, WHOLE)
    assert flat(pixels) == [255, 255, 255]


def test_a_palette_is_decoded() -> None:
    image = Image.new("RGB", (40, 40), (10, 200, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    _, pixels = decode(encode(image, "PNG"), LIMITS, WHOLE)
    assert flat(pixels) == pytest.approx([10, 200, 30], abs=4)


@pytest.mark.parametrize("format_", ["JPEG", "TIFF"])
def test_cmyk_is_decoded(format_: str) -> None:
    image = Image.new("CMYK", (40, 40), (0, 255, 255, 0))
    _, pixels = decode(encode(image, format_), LIMITS, WHOLE)
    red, green, blue = flat(pixels)
    assert red > 200
    assert max(green, blue) < 60


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_a_ramp_of_16_bits_keeps_its_mean(format_: str) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(256, 0)
    _, pixels = decode(encode(Image.fromarray(ramp), format_), LIMITS, WHOLE)
    assert pixels.mean() == pytest.approx(127.5, abs=1)
    assert pixels[0, 0, 0] < 10
    assert pixels[0, -1, 0] > 245


def test_a_ramp_of_floats_is_stretched() -> None:
    ramp = np.linspace(-3, 5, 256, dtype=np.float32)[None].repeat(256, 0)
    _, pixels = decode(encode(Image.fromarray(ramp), "TIFF"), LIMITS, WHOLE)
    assert pixels.mean() == pytest.approx(127.5, abs=1)


@pytest.mark.parametrize(
    "values",
    [
        np.full((40, 40), np.nan, dtype=np.float32),
        np.array([[np.inf, -np.inf], [np.nan, 3e38]], dtype=np.float32),
        np.full((40, 40), -5, dtype=np.int32),
    ],
)
def test_numbers_that_are_no_light_do_not_crash(values: np.ndarray) -> None:
    _, pixels = decode(encode(Image.fromarray(values), "TIFF"), LIMITS, WHOLE)
    assert pixels.shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize("size", [56, 108, 124], ids=["V3", "V4", "V5"])
def test_a_bmp_whose_alpha_is_zero_everywhere_is_opaque(size: int) -> None:
    pixels = np.asarray(photo((40, 30)))[::-1, :, ::-1]
    for alpha, expected in ((0, 1), (255, 1)):
        body = np.dstack([pixels, np.full((30, 40), alpha, np.uint8)]).tobytes()
        head = struct.pack("<IiiHHIIiiII", size, 40, 30, 1, 32, 3, len(body), 0, 0, 0, 0)
        head += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
        head += bytes(size - len(head))
        start = struct.pack("<2sIII", b"BM", 14 + len(head) + len(body), 0, 14 + len(head))
        _, seen = decode(start + head + body, LIMITS, lambda each: np.asarray(reduce.image(each)))
        assert difference(seen, np.asarray(photo((40, 30)))) < expected


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF"])
def test_what_is_transparent_is_grey(mode: str, format_: str) -> None:
    hidden = (255, 0, 0, 0) if mode == "RGBA" else (255, 0)
    _, pixels = decode(encode(Image.new(mode, (40, 40), hidden), format_), LIMITS, WHOLE)
    assert flat(pixels) == [128, 128, 128]


def test_a_transparent_colour_of_a_palette_is_grey() -> None:
    image = Image.new("P", (40, 40), 0)
    image.putpalette([255, 0, 0] * 256)
    for transparency in (0, b"\0" * 256):
        _, pixels = decode(encode(image, "PNG", transparency=transparency), LIMITS, WHOLE)
        assert flat(pixels) == [128, 128, 128]


# ------------------------------------------------------------------------- orientation


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a picture as a camera stores it that writes `orientation` into its EXIF."""
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return image.transpose(undo[orientation]) if orientation in undo else image


def with_orientation(image: Image.Image, value: object, format_: str) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    return encode(image, format_, exif=exif)


@pytest.mark.parametrize(
    "format_", [each for each in FORMATS if each in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")]
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_gives_the_same_upright_picture(format_: str, orientation: int) -> None:
    image = photo()
    upright = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    content = with_orientation(turned(image, orientation), orientation, format_)
    header, pixels = decode(content, LIMITS, WHOLE)
    assert (header.width, header.height) == (160, 120)
    assert difference(pixels, upright) < 12


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_counts_as_upright(value: int) -> None:
    header, _ = decode(with_orientation(photo(), value, "JPEG"), LIMITS, WHOLE)
    assert (header.width, header.height) == (160, 120)


def test_a_broken_exif_block_is_no_reason_to_refuse() -> None:
    for exif in (b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\1\x12\0\3"):
        header, _ = decode(encode(photo(), "JPEG", exif=exif), LIMITS, WHOLE)
        assert (header.width, header.height) == (160, 120)


def exif_of(*entries: bytes) -> bytes:
    count = struct.pack(">H", len(entries))
    return b"Exif\0\0MM\0*\0\0\0\x08" + count + b"".join(entries) + bytes(4)


@pytest.mark.parametrize(
    "exif",
    [
        exif_of(struct.pack(">HHII", 0x010F, 2, 200, 60_000)),  # the maker's name, past the end
        exif_of(
            struct.pack(">HHIHH", 0x0128, 3, 2, 2, 2),  # two units for one resolution
            struct.pack(">HHII", 0x011A, 5, 1, 60_000),
        ),
        exif_of(struct.pack(">HHIHH", 0x0112, 3, 2, 6, 6)),  # two orientations
        exif_of(struct.pack(">HHII", 0x0112, 99, 1, 6)),  # of no type
    ],
    ids=["past the end", "two units", "two orientations", "no type"],
)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_exif_that_a_careless_program_has_written_is_no_reason_to_refuse(
    format_: str, exif: bytes
) -> None:
    header, _ = decode(encode(photo(), format_, exif=exif), LIMITS, WHOLE)
    assert sorted((header.width, header.height)) == [120, 160]


# ------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("format_", FORMATS)
def test_a_cut_photograph_is_truncated_and_never_classified(format_: str) -> None:
    content = encode(photo(), format_)
    reasons = [
        refused(content[: len(content) * sixteenth // 16]).reason for sixteenth in range(1, 16)
    ]
    assert reasons == ["truncated"] * 15


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG"])
def test_a_file_cut_behind_its_first_picture_is_truncated(format_: str) -> None:
    content = encode(photo(), format_, save_all=True, append_images=[photo().rotate(180)])
    assert refused(content[: len(content) * 15 // 16]).reason == "truncated"


def test_a_gif_needs_all_its_rows_and_no_end_mark() -> None:
    content = encode(photo(), "GIF")
    _, whole = decode(content, LIMITS, WHOLE)
    for missing in (1, 2):
        assert np.array_equal(decode(content[:-missing], LIMITS, WHOLE)[1], whole)
    boundaries, at = [], content.index(b",", 13 + 3 * 256) + 11
    while content[at]:
        at += 1 + content[at]
        boundaries.append(at)
    for cut in (*boundaries[:-1], boundaries[-1] - 30):
        assert refused(content[:cut]).reason == "truncated", (cut, len(content))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
def test_a_packed_tiff_that_is_cut_is_truncated(compression: str) -> None:
    content = encode(photo(), "TIFF", compression=compression)
    assert {refused(content[:cut]).reason for cut in range(70, len(content), 99)} == {"truncated"}


def test_a_cut_photograph_with_a_thumbnail_is_truncated() -> None:
    thumbnail = encode(photo((40, 30)), "JPEG")
    ifd0 = struct.pack(">HI", 0, 14)
    entries = struct.pack(">HHHII", 2, 0x201, 4, 1, 14 + 2 + 24 + 4)
    entries += struct.pack(">HHII", 0x202, 4, 1, len(thumbnail))
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + ifd0 + entries + struct.pack(">I", 0) + thumbnail
    content = encode(photo(), "JPEG", exif=exif)
    end = content.index(thumbnail) + len(thumbnail)
    for cut in (end + 30, end + 200, len(content) - 100):
        assert refused(content[:cut]).reason == "truncated"


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
def test_a_few_bytes_of_the_beginning_are_no_photograph(format_: str) -> None:
    content = encode(photo(), format_)
    for count in (1, 2, 4, 8, 12, 16, 24):
        assert refused(content[:count]).reason in ("not_an_image", "truncated")


@pytest.mark.parametrize(
    "content",
    [
        b'<?xml version="1.0"?><html><body></body></html>',
        b"<!doctype html><html><title>404 Not Found</title></html>",
        b"\n\nDear diary",
        b"%PDF-1.7\n",
        b"PK\x03\x04" + bytes(100),
        b"\0" * 1000,
        b"\x80\x04\x95",
        "Größe".encode("utf-16"),
    ],
)
def test_what_is_no_image_is_called_so(content: bytes) -> None:
    assert refused(content).reason == "not_an_image"


@pytest.mark.parametrize("format_", ["PPM", "ICO", "JPEG2000", "DDS", "SGI", "EPS"])
def test_an_image_of_another_format_is_unsupported(format_: str) -> None:
    error = refused(encode(photo((32, 32)), format_))
    assert error.reason == "unsupported_format"
    assert "is not one of JPEG, PNG" in error.detail


@pytest.mark.parametrize(
    "magic",
    [
        b"<svg xmlns='",
        b'<?xml version="1.0"?>\n<!-- Inkscape -->\n<svg>',
        b"\xef\xbb\xbf<!DOCTYPE svg>\n<svg>",
        b"8BPS\0\1",
        b"gimp xcf v011",
        b"\x76\x2f\x31\x01\2",
        b"\xff\x0a\xfa",
        b"\0\0\0\x0cJXL \r\n",
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
        b"FUJIFILMCCD-RAW",
        b"IIRO\x08\0\0\0",
        b"IIU\0\x18\0\0\0",
        b"FOVb\0\0\2\0",
        b"\0MRM\0\1",
    ],
)
def test_an_image_that_pillow_cannot_name_is_unsupported(magic: bytes) -> None:
    assert refused(magic + bytes(100)).reason == "unsupported_format"


def test_no_bytes_are_empty() -> None:
    assert refused(b"").reason == "empty"


def test_a_damaged_photograph_is_called_damaged() -> None:
    content = bytearray(encode(photo(), "PNG"))
    at = content.index(b"IDAT") + 50
    content[at : at + 40] = b"\xff" * 40
    error = refused(bytes(content))
    assert error.reason == "damaged"
    assert error.header == Header(160, 120, "PNG")
    assert "\n" not in error.detail


def answer(content: bytes) -> str:
    """The reason of the refusal, or `classified`."""
    try:
        _, pixels = decode(content, Limits(1_000_000), WHOLE)
    except Refused as error:
        return error.reason
    assert pixels.shape == (SIDE, SIDE, 3)
    return "classified"


@pytest.mark.parametrize("format_", FORMATS)
def test_flipped_bytes_never_do_worse_than_a_refusal(format_: str) -> None:
    content = encode(photo((64, 48)), format_)
    dice = np.random.default_rng(5)
    answers = set()
    for _ in range(60):
        broken = bytearray(content)
        for at in dice.integers(0, len(content), 8):
            broken[at] = dice.integers(0, 256)
        answers.add(answer(bytes(broken)))
    assert answers <= {
        "classified",
        "not_an_image",
        "unsupported_format",
        "truncated",
        "damaged",
        "too_many_pixels",
    }


# ------------------------------------------------------------------------- limits


@pytest.mark.parametrize("format_", FORMATS)
def test_the_limit_of_pixels_is_met_and_passed(format_: str) -> None:
    content = encode(photo(), format_)
    decode(content, Limits(160 * 120), WHOLE)
    error = refused(content, Limits(160 * 120 - 1))
    assert error.reason == "too_many_pixels"
    assert error.header == Header(160, 120, format_)
    assert "160x120 is more than max_pixels 19199" in error.detail


# Decodes standard input within 1 GiB of address space, as a worker does, and says what it took.
WITHIN_A_WORKER = """
import resource, sys
from gdwatch.decode.formats import Limits, Refused; from gdwatch.decode.decoder import decode
space = 1 << 30
resource.setrlimit(resource.RLIMIT_AS, (space, space))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    header, _ = decode(sys.stdin.buffer.read(), Limits(64_000_000), lambda photo: photo.size)
    print(header.width)
except Refused as refused:
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(refused.reason, refused.header.width, taken < 10_000)
"""


def within_a_worker(content: bytes) -> str:
    ended = subprocess.run(
        [sys.executable, "-c", WITHIN_A_WORKER], input=content, capture_output=True, check=False
    )
    return ended.stdout.decode() or ended.stderr.decode()


@pytest.mark.parametrize("name", ["png", "gif", "bmp", "jpeg", "tiff"])
def test_a_bomb_is_refused_by_its_header(name: str) -> None:
    content = HEADERS[name](40_000, 40_000)
    assert within_a_worker(content) == "too_many_pixels 40000 True\n"


@pytest.mark.parametrize("name", ["webp", "webp lossless"])
def test_a_webp_bomb_is_refused_before_its_reader_takes_memory_for_its_canvas(name: str) -> None:
    assert within_a_worker(HEADERS[name](16_000, 16_000)) == "too_many_pixels 16000 True\n"


@pytest.mark.parametrize("sides", [(2**64 - 1, 2**64 - 1), (2**64 - 1, 1), (1, 2**32)])
def test_sides_that_no_database_can_hold_are_not_recorded(sides: tuple[int, int]) -> None:
    error = refused(HEADERS["tiff big"](*sides))
    assert (error.reason, error.header) == ("too_many_pixels", None)
    assert f"{sides[0]}x{sides[1]}" in error.detail


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16", "CMYK"])
def test_the_largest_picture_allowed_needs_no_more_memory_than_a_worker_has(mode: str) -> None:
    format_ = "JPEG" if mode == "CMYK" else "PNG"
    image = Image.new(mode, (8_000, 8_000), 100)
    assert within_a_worker(encode(image, format_)) == "8000\n"


def test_a_webp_that_needs_more_memory_than_a_worker_has_is_too_many_pixels() -> None:
    content = encode(Image.new("RGB", (8_000, 8_000), "teal"), "WEBP", method=0, quality=10)
    reason, width, _ = within_a_worker(content).split()
    assert (reason, width) == ("too_many_pixels", "8000")


def test_a_small_file_of_many_pixels_is_refused_without_memory() -> None:
    content = encode(Image.new("L", (9_000, 9_000)), "PNG", optimize=False)
    assert len(content) < 200_000
    assert within_a_worker(content) == "too_many_pixels 9000 True\n"
