"""Pictures for the browser: decoded again, upright, without what the file says of its making."""

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from gdwatch.errors import GdwatchError
from gdwatch.ledger.rows import Row
from gdwatch.ui.thumbnails import Cache, Size, Thumbnails
from tests import build
from tests.gdwatch.conftest import World

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def thumbnails(world: World) -> Iterator[Thumbnails]:
    made = Thumbnails(world.settings, world.folders)
    yield made
    made.close()


def filed(world: World, content: bytes, name: str = "a.jpg") -> Row:
    entry = world.record_file(name, content, "unsure")
    world.file()
    with world.ledger.reading() as connection:
        return world.ledger.transaction(connection).row(entry.id)


def made(thumbnails: Thumbnails, row: Row, size: Size = "small") -> bytes:
    return asyncio.run(thumbnails.picture(row, size))


def test_a_picture_is_a_small_upright_webp_without_exif(
    world: World, thumbnails: Thumbnails
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    exif[0x010F] = "a camera"
    content = build.encode(Image.new("RGB", (1600, 800), "red"), "JPEG", exif=exif)
    row = filed(world, content)
    for size, expected in (("small", (160, 320)), ("large", (640, 1280))):
        webp = made(thumbnails, row, size)  # type: ignore[arg-type]
        picture = Image.open(io.BytesIO(webp))
        assert (picture.format, picture.size) == ("WEBP", expected)
        assert b"camera" not in webp


def test_a_picture_that_breaks_its_decoder_is_not_shown_and_the_next_is(
    world: World, thumbnails: Thumbnails, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = filed(world, b"\x00" * 100, "bad.jpg"), filed(world, build.photograph(1), "b.jpg")
    with pytest.raises(GdwatchError, match=r"cannot be shown \(not_an_image\)"):
        made(thumbnails, bad)
    assert made(thumbnails, good)
    late = Thumbnails(world.settings.model_copy(update={"decode_timeout_s": 1e-9}), world.folders)
    with pytest.raises(GdwatchError, match=r"cannot be shown \(decoder_timeout\)"):
        made(late, good)
    late.close()


def test_a_link_is_not_followed_and_a_missing_file_is_named(
    world: World, thumbnails: Thumbnails, tmp_path: Path
) -> None:
    row = filed(world, build.photograph(1))
    file = world.root / "unsure" / "a.jpg"
    secret = tmp_path / "secret.png"
    file.rename(secret)
    file.symlink_to(secret)
    with pytest.raises(GdwatchError, match="its file has been taken away"):
        made(thumbnails, row)


def test_the_cache_keeps_the_newest_and_no_more_than_its_bound() -> None:
    cache = Cache(1000)
    for number in range(5):
        cache.put((number, 0, 0, "small"), bytes(200))
        assert cache.get((0, 0, 0, "small")) is not None
    assert cache.size_bytes <= 1000
    kept = [number for number in range(5) if cache.get((number, 0, 0, "small"))]
    assert kept == [0, 4]
    cache.put((9, 0, 0, "small"), bytes(2000))
    assert cache.size_bytes == 0
