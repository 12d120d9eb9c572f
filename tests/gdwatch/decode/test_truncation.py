import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gdwatch.decode.truncation import ends_early
from tests.build import encode, photograph

FRAMES = [Image.new("RGB", (48, 40), (number, 90, 200 - number)) for number in (10, 80, 150)]


def animated(format_: str, **options: object) -> bytes:
    return encode(FRAMES[0], format_, save_all=True, append_images=FRAMES[1:], **options)


WHOLE = {
    "jpeg": photograph(1, format_="JPEG"),
    "png": photograph(1),
    "png animated": animated("PNG"),
    "gif": photograph(1, format_="GIF"),
    "gif animated": animated("GIF"),
    "webp": photograph(1, format_="WEBP"),
    "webp animated": animated("WEBP"),
    "tiff": photograph(1, format_="TIFF"),
    "tiff of pages": animated("TIFF").rstrip(b"\0"),  # the last page is filled up with zeros
    "tiff packed": encode(FRAMES[0], "TIFF", compression="tiff_lzw"),
    "tiff of 64 bits": encode(FRAMES[0], "TIFF", big_tiff=True),
    "avif": photograph(1, format_="AVIF"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_does_not_end_early(name: str) -> None:
    assert not ends_early(WHOLE[name])


# Where the picture ends, if something may be missing behind it.
ENDS = {
    "png": WHOLE["png"].index(b"IEND") - 4,
    "png animated": WHOLE["png animated"].index(b"fcTL", WHOLE["png animated"].index(b"IDAT")) - 4,
    "tiff of pages": len(encode(FRAMES[0], "TIFF")),
}


# Whether a GIF is cut between two blocks of one picture, only its decoder can tell.
@pytest.mark.parametrize("name", [name for name in WHOLE if not name.startswith("gif")])
def test_a_file_cut_anywhere_in_its_picture_ends_early(name: str) -> None:
    end = ENDS.get(name, len(WHOLE[name]))
    cuts = [*range(16, end, 7), end - 1]
    assert [cut for cut in cuts if not ends_early(WHOLE[name][:cut])] == []


@pytest.mark.parametrize("name", ["png", "png animated", "gif", "gif animated"])
def test_a_file_without_its_end_mark_does_not_end_early(name: str) -> None:
    # The mark of a GIF is one byte, and before it is an empty block.
    end = len(WHOLE[name]) - (2 if name.startswith("gif") else 12)
    for cut in range(end, len(WHOLE[name])):
        assert not ends_early(WHOLE[name][:cut])


@pytest.mark.parametrize("name", [name for name in WHOLE if not name.startswith("tiff")])
def test_what_follows_a_picture_is_not_looked_at(name: str) -> None:
    assert not ends_early(WHOLE[name] + b"PK\x03\x04" + bytes(100))


@pytest.mark.parametrize("name", ["jpeg", "png animated", "gif animated"])
def test_zeros_in_the_place_of_an_end_are_no_end(name: str) -> None:
    content = WHOLE[name]
    for kept in (len(content) // 2, ENDS.get(name, len(content) - 1)):
        assert ends_early(content[:kept] + bytes(len(content) - kept))


def test_a_jpeg_may_have_fill_bytes_and_markers_without_length() -> None:
    content = WHOLE["jpeg"]
    assert not ends_early(content[:2] + b"\xff\xff\xff\xd0\xff\x01" + content[2:])


def test_pages_of_a_tiff_that_lead_round_in_a_circle_come_to_an_end() -> None:
    page = struct.pack("<HI", 0, 8)  # no entries, and the next page is itself
    assert not ends_early(b"II*\0" + struct.pack("<I", 8) + page)


@given(st.sampled_from(list(WHOLE.values())), st.binary(max_size=64), st.integers(0, 300))
def test_any_bytes_have_an_answer(content: bytes, noise: bytes, at: int) -> None:
    assert ends_early(content[:at] + noise + content[at + len(noise) :]) in (True, False)
    assert ends_early(content[:12] + noise) in (True, False)
