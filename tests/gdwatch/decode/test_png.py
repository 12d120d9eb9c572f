"""PNGs whose side data are wrong, too large or in an unusual place."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image

from gdwatch.decode import png, reduce
from gdwatch.decode.decoder import decode
from gdwatch.decode.formats import Limits, Refused
from tests import build
from tests.build import encode

LIMITS = Limits(max_pixels=1_000_000)
END = b"\0\0\0\0IEND\xaeB`\x82"


def scene() -> Image.Image:
    return Image.open(io.BytesIO(build.astronaut())).resize((90, 70)).convert("RGB")


CONTENT = encode(scene(), "PNG")


def pixels_of(content: bytes) -> np.ndarray:
    return decode(content, LIMITS, lambda photo: np.asarray(reduce.image(photo)))[1]


def reason_of(content: bytes) -> str:
    with pytest.raises(Refused) as caught:
        pixels_of(content)
    return caught.value.reason


def chunk(kind: bytes, body: bytes, *, wrong_by: int = 0) -> bytes:
    checksum = zlib.crc32(kind + body) ^ wrong_by
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def before(side: bytes, content: bytes = CONTENT) -> bytes:
    at = content.index(b"IDAT") - 4
    return content[:at] + side + content[at:]


def behind(side: bytes, content: bytes = CONTENT) -> bytes:
    return content[: -len(END)] + side + END


LARGE = zlib.compress(bytes(3_000_000))
ENDLESS = zlib.compress(bytes(200_000_000))
SIDE_DATA = {
    "a packed text of 3 MB": chunk(b"zTXt", b"Comment\0\0" + LARGE),
    "a packed text without end": chunk(b"zTXt", b"Comment\0\0" + ENDLESS),
    "packed XMP of 3 MB": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LARGE),
    "XMP of 3 MB": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b" " * 3_000_000),
    "packed EXIF without end": chunk(b"zTXt", b"Raw profile type exif\0\0" + ENDLESS),
    "a profile of 3 MB": chunk(b"iCCP", b"profile\0\0" + LARGE),
    "a profile that is none": chunk(b"iCCP", b"profile"),
    "a text with a wrong checksum": chunk(b"tEXt", b"Comment\0good", wrong_by=1),
    "EXIF with a wrong checksum": chunk(b"eXIf", b"MM\0*", wrong_by=1),
    "a time with a wrong checksum": chunk(b"tIME", bytes(7), wrong_by=9),
    "a private chunk with a wrong checksum": chunk(b"prVt", b"mine", wrong_by=5),
    "an animation of no frames": chunk(b"acTL", bytes(8)),
    "an animation that is cut": chunk(b"acTL", b"\0\0"),
    "transparency with a wrong checksum": chunk(b"tRNS", bytes(6), wrong_by=1),
}


@pytest.mark.parametrize("name", SIDE_DATA)
@pytest.mark.parametrize("place", [before, behind])
def test_side_data_do_not_decide_over_the_picture(place, name: str) -> None:
    assert np.array_equal(pixels_of(place(SIDE_DATA[name])), np.asarray(scene()))


def test_only_what_shows_is_left_of_a_png() -> None:
    content = behind(b"".join(SIDE_DATA.values()))
    assert png.picture_of(content) == png.picture_of(CONTENT)
    assert len(png.picture_of(content)) <= len(CONTENT)


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT"])
def test_a_wrong_checksum_of_the_picture_itself_is_damage(kind: bytes) -> None:
    at = CONTENT.index(kind)
    end = at + 4 + int.from_bytes(CONTENT[at - 4 : at], "big")
    broken = CONTENT[:end] + bytes([CONTENT[end] ^ 1]) + CONTENT[end + 1 :]
    assert reason_of(broken) == "damaged"


# ------------------------------------------------------------------------- orientation


def exif(orientation: int) -> bytes:
    made = Image.Exif()
    made[ExifTags.Base.Orientation] = orientation
    return made.tobytes().removeprefix(b"Exif\0\0")


def profile(orientation: int) -> bytes:
    """EXIF as ImageMagick wrote it into a text."""
    body = b"Exif\0\0" + exif(orientation)
    return b"\nexif\n%8d\n%s\n" % (len(body), body.hex().encode())


ORIENTATIONS = {
    "EXIF": chunk(b"eXIf", exif(6)),
    "EXIF in a packed text": chunk(
        b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(profile(6))
    ),
    "XMP": chunk(
        b"iTXt",
        b'XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description'
        b' tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>',
    ),
}


@pytest.mark.parametrize("name", ORIENTATIONS)
@pytest.mark.parametrize("place", [before, behind])
def test_an_orientation_counts_before_the_pixels_and_behind_them(place, name: str) -> None:
    header, pixels = decode(
        place(ORIENTATIONS[name]), LIMITS, lambda photo: np.asarray(reduce.image(photo))
    )
    assert (header.width, header.height) == (70, 90)
    assert np.array_equal(pixels, np.rot90(np.asarray(scene()), -1))


# ------------------------------------------------------------------------- end


@pytest.mark.parametrize("missing", range(1, len(END) + 1))
def test_a_png_without_its_end_mark_is_whole(missing: int) -> None:
    assert np.array_equal(pixels_of(CONTENT[:-missing]), np.asarray(scene()))


def test_a_png_that_is_cut_in_a_text_behind_its_pixels_is_whole() -> None:
    content = behind(chunk(b"tEXt", b"Comment\0" + bytes(100)))
    assert np.array_equal(pixels_of(content[:-60]), np.asarray(scene()))


@pytest.mark.parametrize("missing", [13, 20, 100, 2000])
def test_a_png_whose_pixels_are_not_all_there_is_truncated(missing: int) -> None:
    assert reason_of(CONTENT[:-missing]) == "truncated"
    assert reason_of(CONTENT[:-missing] + bytes(missing)) == "truncated"


def test_a_png_that_ends_between_two_chunks_of_pixels_is_truncated() -> None:
    at = CONTENT.index(b"IDAT") - 4
    length = int.from_bytes(CONTENT[at : at + 4], "big")
    packed = CONTENT[at + 8 : at + 8 + length]
    halves = [chunk(b"IDAT", packed[: length // 2]), chunk(b"IDAT", packed[length // 2 :])]
    content = CONTENT[:at] + b"".join(halves) + END
    assert np.array_equal(pixels_of(content), np.asarray(scene()))
    assert reason_of(CONTENT[:at] + halves[0]) == "truncated"
    assert reason_of(CONTENT[:at] + halves[0] + END) in ("truncated", "damaged")
