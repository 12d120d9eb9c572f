"""The photographs of the benchmark: JPEG, quality 85 to 90, no two files with the same bytes.

Pictures are made once and then saved under as many numbers as are wanted: each file carries its
number in a comment of the JPEG, which costs a decoder nothing and makes its bytes its own.
"""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

CROP, PORTRAIT = 200, 1280  # pixels of the longer side
_PICTURES = {CROP: 1000, PORTRAIT: 90}
_FACES = ((224, 115), (255, 190))  # their middles, pixels of the two shipped photographs
_TARS = {CROP: "utk.tar", PORTRAIT: "large.tar"}


@dataclass(frozen=True, slots=True)
class Pool:
    """Encoded pictures of one size. origin: where they are from, in words."""

    side: int
    pictures: tuple[bytes, ...]
    origin: str

    def fill(self, folder: Path, count: int, first: int = 0) -> None:
        """Write `count` files, distinct also from those of another `first`."""
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            content = numbered(self.pictures[number % len(self.pictures)], number)
            (folder / f"{number:06}.jpg").write_bytes(content)


def numbered(jpeg: bytes, number: int) -> bytes:
    """The same picture with a comment, right after the start of image."""
    comment = b"%08d" % number
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]


def pool(side: int, data: Path | None) -> Pool:
    """Encode the pictures of one size: from the folder of photographs, or from the two shipped."""
    tar = data / _TARS[side] if data else None
    real = tar is not None and tar.is_file()
    found = _from_tar(tar, side) if tar is not None and real else _from_two(side)
    pictures = []
    for number, picture in zip(range(_PICTURES[side]), found, strict=False):
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=85 + number % 6)
        pictures.append(stream.getvalue())
    return Pool(side, tuple(pictures), str(_TARS[side]) if real else "two shipped photographs")


def _from_tar(tar: Path, side: int) -> Iterator[Image.Image]:
    """The pictures of an archive in the wanted size; ever again, cut a little, where few."""
    with tarfile.open(tar) as members:
        contents = [members.extractfile(member) for member in _files(members, _PICTURES[side])]
        pictures = [Image.open(io.BytesIO(each.read())).convert("RGB") for each in contents if each]
    for cut in range(_PICTURES[side]):
        for picture in pictures:
            piece = picture.crop((cut, cut // 2, picture.width, picture.height))
            scale = side / max(piece.size)
            shape = round(piece.width * scale), round(piece.height * scale)
            yield piece if shape == piece.size else piece.resize(shape, Image.Resampling.BICUBIC)


def _files(members: tarfile.TarFile, count: int) -> Iterator[tarfile.TarInfo]:
    for member in members:
        if member.isfile() and count:
            count -= 1
            yield member


def _from_two(side: int) -> Iterator[Image.Image]:
    """Cut round the two faces, ever another piece, and bring it to the wanted size."""
    from tests import build  # has torch, for which nothing else here has a use

    opened = (
        Image.open(io.BytesIO(content())) for content in (build.astronaut, build.grace_hopper)
    )
    faces = list(zip((each.convert("RGB") for each in opened), _FACES, strict=True))
    shape = (side, side) if side == CROP else (side * 3 // 4, side)
    for number in range(_PICTURES[side]):
        picture, (x, y) = faces[number % 2]
        shift = number // 2 % 25
        high = 75 + shift if side == CROP else 110 + shift // 5  # half the piece
        wide = high * shape[0] // shape[1]
        left, top = x - wide + shift % 7, y - high + shift % 5
        piece = picture.crop((left, top, left + 2 * wide, top + 2 * high))
        yield piece.resize(shape, Image.Resampling.BICUBIC)
