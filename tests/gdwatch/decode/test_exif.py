"""What is read of EXIF, and that nothing in it can do harm."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gdwatch.decode.exif import origin_of
from gdwatch.values import Origin
from tests import build

MAKE, MODEL, EXIF, TAKEN, DIGITISED, OFFSET = 0x010F, 0x0110, 0x8769, 0x9003, 0x9004, 0x9011


def picture(format_: str = "JPEG", *, details: dict[int, object] | None = None,
            **tags: object) -> bytes:  # fmt: skip
    exif = Image.Exif()
    for name, value in tags.items():
        exif[{"make": MAKE, "model": MODEL}[name]] = value
    exif.get_ifd(EXIF).update(details or {})
    stream = io.BytesIO()
    Image.new("RGB", (32, 24)).save(stream, format_, exif=exif)
    return stream.getvalue()


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_time_and_camera_are_read(format_: str) -> None:
    content = picture(format_, make="Canon", model="Canon EOS 5D", details={
        TAKEN: "2019:07:06 18:04:05", OFFSET: "+02:00",
    })  # fmt: skip
    assert origin_of(content) == Origin("2019-07-06 18:04:05+02:00", "Canon EOS 5D")


def test_a_time_without_an_offset_has_none() -> None:
    content = picture(make="ACME", model="X1", details={DIGITISED: "2019:07:06 18:04:05"})
    assert origin_of(content) == Origin("2019-07-06 18:04:05", "ACME X1")


def test_a_picture_without_exif_has_no_origin() -> None:
    assert origin_of(build.photograph(1, format_="JPEG")) == Origin()


@pytest.mark.parametrize("time", ["0000:00:00 00:00:00", "yesterday", "2019:13:01 00:00:00", 7])
def test_a_time_that_makes_no_sense_is_left_out(time: object) -> None:
    assert origin_of(picture(make="A", details={TAKEN: time})) == Origin(None, "A")


def test_a_name_of_a_camera_is_one_short_line() -> None:
    camera = origin_of(picture(make="a\n\x1b[31m" + "b" * 500)).camera
    assert camera is not None
    assert camera.isprintable()
    assert len(camera) == 100


@given(st.binary(max_size=200), st.integers(0, 300))
def test_whatever_stands_in_exif_nothing_is_raised(rubbish: bytes, at: int) -> None:
    content = picture(make="ACME", details={TAKEN: "2019:07:06 18:04:05"})
    origin_of(content[:at] + rubbish + content[at + len(rubbish) :])
