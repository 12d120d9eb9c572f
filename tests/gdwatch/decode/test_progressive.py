"""Progressive JPEGs of samplings that the strict decoder has no name for."""

import contextlib
import functools
import io
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gdwatch.decode import jpeg
from gdwatch.decode.progressive import components
from tests.build import encode
from tests.gdwatch.decode.test_jpeg import (
    END,
    UNUSUAL,
    damages,
    pixels_of,
    reason_of,
    scene,
    segment,
    with_a_broken_profile,
    without_end,
)

Sampling = tuple[tuple[int, int], ...]
SAMPLINGS = [tuple(each) for each in UNUSUAL]
DC_CODES = segment(0xC4, bytes([0, 0, 0, 0, 12, *bytes(12), *range(12)]))  # four bits each


@functools.cache
def progressive(sampling: Sampling, *, together: bool, restarts: int = 0) -> bytes:
    """A progressive JPEG whose components have these factors: no encoder here writes such.

    Blocks of a scan of one component are those of a grey picture of the same size.

    together: whether one scan holds DC of all components, as most encoders write it.
    """
    image = scene("YCbCr")
    across, down = (max(factors) for factors in zip(*sampling, strict=True))
    frame = b"\x08" + image.height.to_bytes(2, "big") + image.width.to_bytes(2, "big") + b"\x03"
    scans, planes = b"", []
    for number, (plane, (h, v)) in enumerate(zip(image.split(), sampling, strict=True), 1):
        size = (-(-image.width * h // across), -(-image.height * v // down))
        planes.append(plane.resize(size, Image.Resampling.BOX))
        grey = encode(planes[-1], "JPEG", quality=92, progressive=True)
        for each in jpeg.segments(grey):
            if each.marker == 0xDA and not (together and each.body[3] == 0):
                scans += segment(0xDA, bytes([1, number]) + each.body[2:]) + each.data
            elif each.marker == 0xC4:
                scans += each.to_bytes()
        frame += bytes([number, h << 4 | v, 0])
    table = next(each for each in jpeg.segments(grey) if each.marker == 0xDB)
    if together:
        scans = dc_scan(planes, sampling, table.body[1], restarts) + scans
    return b"\xff\xd8" + table.to_bytes() + segment(0xC2, frame) + scans + END


def dc_scan(planes: list[Image.Image], sampling: Sampling, step: int, restarts: int) -> bytes:
    """One scan of DC alone, of all components. step: of its quantisation."""
    across, down = (max(factors) for factors in zip(*sampling, strict=True))
    columns, rows = -(-scene().width // (8 * across)), -(-scene().height // (8 * down))
    values = []
    for plane, (h, v) in zip(planes, sampling, strict=True):
        more = ((0, rows * v * 8 - plane.height), (0, columns * h * 8 - plane.width))
        pixels = np.pad(np.asarray(plane, float), more, mode="edge")
        blocks = pixels.reshape(rows * v, 8, columns * h, 8).sum(axis=(1, 3))
        values.append(((blocks - 64 * 128) / 8 / step).round().astype(int))
    data, bits, before = b"", "", [0, 0, 0]
    for mcu, (row, column) in enumerate(product(range(rows), range(columns))):
        if restarts and mcu and mcu % restarts == 0:
            data += packed(bits) + bytes([0xFF, 0xD0 + (mcu // restarts - 1) % 8])
            bits, before = "", [0, 0, 0]
        for number, value in blocks_of(values, sampling, row, column):
            bits, before[number] = bits + coded(value - before[number]), value
    head = bytes([3, 1, 0, 2, 0, 3, 0, 0, 0, 0])
    interval, none = (segment(0xDD, each.to_bytes(2, "big")) for each in (restarts, 0))
    return DC_CODES + interval + segment(0xDA, head) + data + packed(bits) + none


def blocks_of(
    values: list[np.ndarray], sampling: Sampling, row: int, column: int
) -> Iterator[tuple[int, int]]:
    for number, (h, v) in enumerate(sampling):
        for y, x in product(range(v), range(h)):
            yield number, int(values[number][row * v + y, column * h + x])


def coded(difference: int) -> str:
    """T.81, F.1.2.1: the code of its length in bits, and these bits."""
    length = abs(difference).bit_length()
    bits = difference if difference > 0 else difference + (1 << length) - 1
    return f"{length:04b}" + (f"{bits:0{length}b}" if length else "")


def packed(bits: str) -> bytes:
    whole = bits + "1" * (-len(bits) % 8)
    return int(whole, 2).to_bytes(len(whole) // 8, "big").replace(b"\xff", b"\xff\x00")


KINDS: dict[str, dict[str, bool | int]] = {
    "DC by itself": {"together": False},
    "DC together": {"together": True},
    "with restarts": {"together": True, "restarts": 2},
}


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_decoded_to_the_pixels_that_pillow_makes_of_it(sampling: Sampling, kind: str) -> None:
    content = progressive(sampling, **KINDS[kind])
    pixels = pixels_of(content)
    assert np.abs(pixels.astype(float) - np.asarray(scene())).mean() < 6
    assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


@pytest.mark.parametrize("fault", [without_end, with_a_broken_profile])
def test_a_fault_that_concerns_no_pixel_changes_no_pixel(fault: Callable[[bytes], bytes]) -> None:
    content = progressive(SAMPLINGS[0], together=True)
    assert np.array_equal(pixels_of(fault(content)), pixels_of(content))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", damages(b"\xff\xda" + bytes(3000)))
def test_a_picture_that_is_not_whole_is_refused(kind: str, name: str) -> None:
    content = progressive(SAMPLINGS[0], **KINDS[kind])
    assert reason_of(damages(content)[name]) in ("damaged", "truncated")


@pytest.mark.parametrize("restarts", [0, 2])
def test_a_hole_in_the_scan_of_all_components_is_found(restarts: int) -> None:
    content = progressive(SAMPLINGS[0], together=True, restarts=restarts)
    at = content.index(b"\xff\xda") + 14
    (scan,) = [each for each in jpeg.segments(content) if each.body[:1] == b"\x03"]
    middle = at + len(scan.data) // 2
    for hole in (content[:middle] + content[middle + 9 :],
                 content[: at + 3] + content[at + len(scan.data) :]):  # fmt: skip
        assert reason_of(hole) in ("damaged", "truncated")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 700), st.sampled_from(["keep", "cut"]))
def test_any_bytes_have_an_answer(noise: bytes, at: int, rest: str) -> None:
    content = progressive(SAMPLINGS[0], together=True, restarts=2)
    tail = content[at + len(noise) :] if rest == "keep" else b""
    with contextlib.suppress(jpeg.IncompleteError):
        components(content[:at] + noise + tail)
