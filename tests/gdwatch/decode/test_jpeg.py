"""JPEGs with faults that concern no pixel, and such whose pixels are missing or made up."""

import contextlib
import io
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from gdwatch.decode import jpeg, reduce
from gdwatch.decode.decoder import decode
from gdwatch.decode.formats import Limits, Refused
from tests import build
from tests.build import encode

LIMITS = Limits(max_pixels=1_000_000)
END = b"\xff\xd9"
NO_MARKER = st.binary(min_size=1, max_size=300).map(lambda each: each.replace(b"\xff", b"\xfe"))


def scene(mode: str = "RGB") -> Image.Image:
    return Image.open(io.BytesIO(build.astronaut())).resize((179, 150)).convert(mode)


def pixels_of(content: bytes) -> np.ndarray:
    return decode(content, LIMITS, lambda photo: np.asarray(reduce.image(photo)))[1]


def reason_of(content: bytes) -> str:
    with pytest.raises(Refused) as caught:
        pixels_of(content)
    return caught.value.reason


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def with_scan_parameters(content: bytes) -> bytes:
    at = content.index(b"\x00\x3f\x00", content.index(b"\xff\xda"))
    return content[:at] + b"\x11\x22\x33" + content[at + 3 :]


def with_strays_between(content: bytes) -> bytes:
    at = content.index(b"\xff\xdb")
    return content[:at] + b"some bytes" + content[at:]


def with_jfif_revision(content: bytes) -> bytes:
    return content.replace(b"JFIF\0\x01\x01", b"JFIF\0\x09\x01")


def with_a_broken_profile(content: bytes) -> bytes:
    return content[:2] + segment(0xE2, b"ICC_PROFILE\0\x05\x02broken") + content[2:]


def with_an_unknown_transform(content: bytes) -> bytes:
    return content[:2] + segment(0xEE, b"Adobe\0\x64\0\0\0\0\x09") + content[2:]


def without_end(content: bytes) -> bytes:
    return content[: -len(END)]


def with_a_trailer_for_an_end(content: bytes) -> bytes:
    return content[: -len(END)] + b"\0\0\x01\x0aImage_UTC_Data1448895211270SEFH" + bytes(70)


def behind_fill_bytes(content: bytes) -> bytes:
    return content[:-1] + b"\xff\xff" + content[-1:]


FAULTS: list[Callable[[bytes], bytes]] = [
    with_scan_parameters,
    with_strays_between,
    with_jfif_revision,
    with_a_broken_profile,
    with_an_unknown_transform,
    without_end,
    with_a_trailer_for_an_end,
    behind_fill_bytes,
]
KINDS: dict[str, dict[str, object]] = {
    "baseline": {},
    "whole chroma": {"subsampling": 0},
    "own codes": {"optimize": True},
    "restarts": {"restart_marker_blocks": 5},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_that_concerns_no_pixel_changes_no_pixel(
    fault: Callable[[bytes], bytes], kind: str
) -> None:
    content = encode(scene(), "JPEG", **KINDS[kind])
    assert fault(content) != content
    assert np.array_equal(pixels_of(fault(content)), pixels_of(content))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("fault", [with_strays_between, without_end])
def test_nor_does_it_in_another_mode(fault: Callable[[bytes], bytes], mode: str) -> None:
    content = encode(scene(mode), "JPEG")
    assert np.array_equal(pixels_of(fault(content)), pixels_of(content))


@pytest.mark.parametrize("fault", [with_strays_between, with_a_broken_profile, without_end])
def test_nor_does_it_in_a_progressive_one(fault: Callable[[bytes], bytes]) -> None:
    content = encode(scene(), "JPEG", progressive=True)
    assert np.array_equal(pixels_of(fault(content)), pixels_of(content))


@settings(max_examples=20, deadline=None)
@given(NO_MARKER, st.sampled_from(list(KINDS)))
def test_bytes_before_the_end_mark_do_not_count(strays: bytes, kind: str) -> None:
    content = encode(scene(), "JPEG", **KINDS[kind])
    strange = without_end(content) + strays + END
    assert np.array_equal(pixels_of(strange), pixels_of(content))


@settings(max_examples=10, deadline=None)
@given(st.binary(min_size=1, max_size=60))
def test_a_few_bytes_before_the_end_mark_of_a_progressive_one_do_not_count(strays: bytes) -> None:
    content = encode(scene(), "JPEG", progressive=True)
    strange = without_end(content) + strays.replace(b"\xff", b"\xfe") + END
    assert np.array_equal(pixels_of(strange), pixels_of(content))


@settings(max_examples=10, deadline=None)
@given(NO_MARKER)
@example(b"G")  # with which the data of one interval ends as well
def test_bytes_before_restart_marks_do_not_count(strays: bytes) -> None:
    content = encode(scene(), "JPEG", **KINDS["restarts"])
    strange = re.sub(rb"(?=\xff[\xd0-\xd7])", strays.replace(b"\\", b"/"), content)
    assert np.array_equal(pixels_of(strange), pixels_of(content))


def test_a_mended_jpeg_keeps_its_orientation() -> None:
    exif = Image.Exif()
    exif[274] = 6
    content = encode(scene(), "JPEG", exif=exif)
    assert pixels_of(without_end(content)).shape == (179, 150, 3)


# ------------------------------------------------------------------------- chroma


def of_planes(sampling: list[tuple[int, int]]) -> bytes:
    """A JPEG whose components have these factors, a scan each: no encoder here writes all of them.

    Blocks of a scan of one component are those of a grey picture of the same size.
    """
    image = scene("YCbCr")
    across, down = (max(factors) for factors in zip(*sampling, strict=True))
    frame = b"\x08" + image.height.to_bytes(2, "big") + image.width.to_bytes(2, "big") + b"\x03"
    scans = b""
    for number, (plane, (h, v)) in enumerate(zip(image.split(), sampling, strict=True), 1):
        size = (-(-image.width * h // across), -(-image.height * v // down))
        grey = encode(plane.resize(size, Image.Resampling.BOX), "JPEG", quality=92)
        at = grey.index(b"\xff\xda")
        scans += segment(0xDA, bytes([1, number, 0, 0, 63, 0])) + grey[at + 10 : -len(END)]
        frame += bytes([number, h << 4 | v, 0])
    tables = grey[grey.index(b"\xff\xdb") : grey.index(b"\xff\xc0")]
    codes = grey[grey.index(b"\xff\xc4") : at]
    return b"\xff\xd8" + tables + segment(0xC0, frame) + codes + scans + END


UNUSUAL = [
    [(4, 2), (1, 1), (1, 1)],
    [(3, 1), (1, 1), (1, 1)],
    [(3, 2), (1, 1), (1, 1)],
    [(2, 2), (2, 1), (1, 2)],
    [(2, 2), (1, 2), (1, 2)],
]


@pytest.mark.parametrize("sampling", UNUSUAL)
def test_a_jpeg_of_unusual_chroma_is_decoded(sampling: list[tuple[int, int]]) -> None:
    pixels = pixels_of(of_planes(sampling))
    assert np.abs(pixels.astype(float) - np.asarray(scene())).mean() < 6


@pytest.mark.parametrize("sampling", UNUSUAL)
def test_a_jpeg_of_unusual_chroma_with_a_hole_is_refused(sampling: list[tuple[int, int]]) -> None:
    content = of_planes(sampling)
    middle = len(content) // 2
    for hole in (content[:middle] + content[middle + 300 :], content[: middle + 700]):
        assert reason_of(hole) in ("damaged", "truncated")


# ------------------------------------------------------------------------- damage


def damages(content: bytes) -> dict[str, bytes]:
    start = content.index(b"\xff\xda") + 14
    third, half = start + (len(content) - start) // 3, start + (len(content) - start) // 2
    noise = np.random.default_rng(4).integers(0, 255, 700).astype(np.uint8).tobytes()
    return {
        "without a piece": content[:third] + content[third + 400 :],
        "with zeros": content[:third] + bytes(500) + content[third + 500 :],
        "with noise": content[:third] + noise + content[third + 700 :],
        "with other bytes of its own": content[:third] + content[half:-2] + content[half:],
        "cut": content[:half],
        "cut, with an end": content[:half] + END,
        "cut, filled up": content[:half] + bytes(len(content) - half),
        "cut, filled up, with an end": content[:half] + bytes(len(content) - half) + END,
        "cut, and a trailer": with_a_trailer_for_an_end(content[:half] + END),
        "without its last block": content[:-6],
    }


@pytest.mark.parametrize("kind", [*KINDS, "progressive"])
@pytest.mark.parametrize("name", damages(b"\xff\xda" + bytes(3000)))
def test_a_picture_that_is_not_whole_is_refused(kind: str, name: str) -> None:
    content = encode(scene(), "JPEG", quality=92, **KINDS.get(kind, {"progressive": True}))
    assert reason_of(damages(content)[name]) in ("damaged", "truncated")


@pytest.mark.parametrize("fault", FAULTS[:5], ids=lambda fault: fault.__name__)
def test_a_harmless_fault_hides_no_damage(fault: Callable[[bytes], bytes]) -> None:
    for broken in damages(encode(scene(), "JPEG", quality=92)).values():
        assert reason_of(fault(broken)) in ("damaged", "truncated")


def test_what_a_cut_leaves_over_reads_as_blocks_and_is_not_taken_for_strays() -> None:
    content = encode(scene(), "JPEG", quality=92)
    smaller = content.replace((150).to_bytes(2, "big"), (118).to_bytes(2, "big"))
    with pytest.raises(jpeg.IncompleteError):
        jpeg.without_stray_bytes(jpeg.mended(smaller))


def test_a_progressive_jpeg_that_ends_between_two_scans_is_truncated() -> None:
    content = encode(scene(), "JPEG", progressive=True)
    scans = [found.start() for found in re.finditer(rb"\xff\xda", content)]
    assert len(scans) > 5
    for at in scans[1:]:
        until = content.rindex(b"\xff\xc4", 0, at)
        assert reason_of(content[:until]) == "truncated"


@pytest.mark.parametrize(
    ("frame", "words"), [(b"\xff\xc1\0\x11\x0c", "12 bits"), (b"\xff\xc3\0\x11\x08", "lossless")]
)
def test_a_jpeg_that_no_decoder_here_reads_is_unsupported(frame: bytes, words: str) -> None:
    content = encode(scene(), "JPEG").replace(b"\xff\xc0\0\x11\x08", frame)
    with pytest.raises(Refused, match=words) as caught:
        pixels_of(content)
    assert caught.value.reason == "unsupported_format"


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 700), st.sampled_from(["keep", "cut"]))
def test_any_bytes_have_an_answer(noise: bytes, at: int, rest: str) -> None:
    content = encode(Image.new("RGB", (16, 16), "red"), "JPEG")
    tail = content[at + len(noise) :] if rest == "keep" else b""
    with contextlib.suppress(jpeg.IncompleteError):
        jpeg.without_stray_bytes(jpeg.mended(content[:at] + noise + tail))
    jpeg.unsupported(content[:at] + noise + tail)
