"""Hostile pictures, made from a seed: every accepted format, broken in every way that is cheap.

A sample is made from (seed, number) alone, so a run can be cut anywhere and go on, and one that
fails can be made again: `python -m tests.faults.corpus SEED NUMBER > picture`.
"""

import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from gdwatch.decode.formats import FORMATS

Dice = np.random.Generator
SIZE = (64, 48)  # width and height of the originals, in pixels


@dataclass(frozen=True, slots=True)
class Sample:
    """One hostile file.

    name: what it was made from and how, for whoever reads a failure.
    cut: whether its data end before its picture does, so that it must never be classified.
    """

    name: str
    content: bytes
    cut: bool = False


# ------------------------------------------------------------------------- originals


def encode(image: Image.Image, format_: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def scene(size: tuple[int, int] = SIZE, seed: int = 0) -> Image.Image:
    """A picture with slopes, edges and noise, so that no format can store it in no bytes."""
    width, height = size
    dice = np.random.default_rng(seed)
    slope = np.add.outer(np.arange(height) * 3, np.arange(width) * 2)[..., None]
    pixels = (slope + np.array([0, 60, 120]) + dice.integers(0, 40, (height, width, 3))) % 256
    return Image.fromarray(pixels.astype(np.uint8))


@cache
def originals() -> dict[str, bytes]:
    """Whole files of every accepted format, by the name of what is special about them."""
    rgb = scene()
    grey, alpha = rgb.convert("L"), rgb.copy()
    alpha.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    frames = {"save_all": True, "append_images": [scene(seed=1), scene(seed=2)], "duration": 40}
    made = {
        "jpeg": encode(rgb, "JPEG"),
        "jpeg-progressive": encode(rgb, "JPEG", progressive=True),
        "jpeg-grey": encode(grey, "JPEG"),
        "jpeg-cmyk": encode(rgb.convert("CMYK"), "JPEG"),
        "jpeg-cmyk-progressive": encode(rgb.convert("CMYK"), "JPEG", progressive=True),
        "jpeg-restarts": encode(rgb, "JPEG", restart_marker_blocks=2),
        "jpeg-thumbnail": encode(rgb, "JPEG", exif=exif_with_thumbnail()),
        "jpeg-several": encode(rgb, "MPO", save_all=True, append_images=[scene(seed=1)]),
        "png": encode(rgb, "PNG"),
        "png-1": encode(rgb.convert("1"), "PNG"),
        "png-16": encode(deep, "PNG"),
        "png-grey": encode(grey, "PNG"),
        "png-palette": encode(rgb.convert("P"), "PNG", transparency=3),
        "png-alpha": encode(alpha, "PNG"),
        "png-animated": encode(rgb, "PNG", **frames),
        "gif": encode(rgb, "GIF"),
        "gif-animated": encode(rgb, "GIF", **frames),
        "webp": encode(rgb, "WEBP"),
        "webp-lossless": encode(rgb, "WEBP", lossless=True),
        "webp-alpha": encode(alpha, "WEBP"),
        "webp-animated": encode(rgb, "WEBP", **frames),
        "bmp": encode(rgb, "BMP"),
        "bmp-palette": encode(rgb.convert("P"), "BMP"),
        "bmp-1": encode(rgb.convert("1"), "BMP"),
        "tiff": encode(rgb, "TIFF"),
        "tiff-16": encode(deep, "TIFF"),
        "tiff-float": encode(grey.convert("F"), "TIFF"),
        "tiff-cmyk": encode(rgb.convert("CMYK"), "TIFF"),
        # Pillow fills up the last page with zeros that belong to nothing.
        "tiff-several": encode(rgb, "TIFF", **frames).rstrip(b"\0"),
        "tiff-big": encode(rgb, "TIFF", big_tiff=True),
    }
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        made[f"tiff-{compression.removeprefix('tiff_')}"] = encode(
            rgb, "TIFF", compression=compression
        )
    made["tiff-group4"] = encode(rgb.convert("1"), "TIFF", compression="group4")
    if "AVIF" in FORMATS:
        made["avif"] = encode(rgb, "AVIF", speed=10)
        made["avif-alpha"] = encode(alpha, "AVIF", speed=10)
        made["avif-animated"] = encode(rgb, "AVIF", speed=10, **frames)
    made["heic"] = encode(rgb, "HEIF")
    made["heic-alpha"] = encode(alpha, "HEIF")
    return made


def exif_with_thumbnail() -> bytes:
    """EXIF whose second folder holds a small JPEG, so that the file has two ends."""
    thumbnail = encode(scene((16, 12)), "JPEG")
    first = struct.pack(">HI", 0, 14)
    second = struct.pack(">HHHII", 2, 0x201, 4, 1, 14 + 2 + 24 + 4)
    second += struct.pack(">HHIII", 0x202, 4, 1, len(thumbnail), 0)
    return b"Exif\0\0MM\0*\0\0\0\x08" + first + second + thumbnail


def end(content: bytes) -> int:
    """How many bytes of a whole file its picture needs: without an end mark and what may follow.

    Only for the originals above, whose entropy-coded data hold no other end of image.
    """
    if content.startswith(b"\xff\xd8"):
        return content.index(b"\xff\xd9", content.index(b"\xff\xda", content.index(b"\xff\xc4")))
    if content.startswith(b"\x89PNG"):
        return content.rindex(b"IEND") - 4
    if content.startswith(b"GIF"):
        return len(content) - len(b"\0;")
    if content == originals()["tiff-several"]:
        return len(encode(scene(), "TIFF"))
    return len(content)


# ------------------------------------------------------------------------- mutations

Mutation = Callable[[bytes, Dice], bytes]


def flipped(content: bytes, dice: Dice) -> bytes:
    broken = bytearray(content)
    for at in dice.integers(0, len(content), int(2 ** dice.uniform(0, 7))):
        broken[at] ^= int(dice.integers(1, 256))
    return bytes(broken)


def flipped_at_its_beginning(content: bytes, dice: Dice) -> bytes:
    """Where the structure is."""
    return flipped(content[:200], dice) + content[200:]


def with_a_zero_tail(content: bytes, dice: Dice) -> bytes:
    """As a copy leaves it that was interrupted after the space had been reserved."""
    kept = int(dice.integers(1, len(content)))
    return content[:kept] + bytes(len(content) - kept)


def with_another_length(content: bytes, dice: Dice) -> bytes:
    """A number of 2, 4 or 8 bytes is changed: a length, a count, an offset or a size in pixels."""
    code = str(dice.choice(["<H", ">H", "<I", ">I", "<Q", ">Q"]))
    bits = 8 * struct.calcsize(code)
    at = int(min(dice.exponential(120), len(content) - 8))
    (old,) = struct.unpack_from(code, content, at)
    offers = (0, 1, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1, old + 1, old - 1, old * 2)
    broken = bytearray(content)
    struct.pack_into(code, broken, at, int(offers[dice.integers(len(offers))]) % 2**bits)
    return bytes(broken)


def spliced(content: bytes, dice: Dice) -> bytes:
    """The beginning of one file and the end of another."""
    other = _any_original(dice)
    return content[: dice.integers(1, len(content))] + other[dice.integers(len(other)) :]


def concatenated(content: bytes, dice: Dice) -> bytes:
    return content + _any_original(dice)


def with_a_piece_missing(content: bytes, dice: Dice) -> bytes:
    at = int(dice.integers(0, len(content)))
    return content[:at] + content[at + int(2 ** dice.uniform(0, 10)) :]


def with_a_piece_twice(content: bytes, dice: Dice) -> bytes:
    at = int(dice.integers(0, len(content)))
    until = at + int(2 ** dice.uniform(0, 10))
    return content[:until] + content[at:until] + content[until:]


def with_another_in_its_middle(content: bytes, dice: Dice) -> bytes:
    at = int(dice.integers(0, len(content)))
    strange = STRANGERS[str(dice.choice(list(STRANGERS)))]
    return content[:at] + strange + content[at:]


def behind_another(content: bytes, dice: Dice) -> bytes:
    return STRANGERS[str(dice.choice(list(STRANGERS)))] + content


def noise(content: bytes, dice: Dice) -> bytes:
    """The first bytes of an image, and then anything."""
    return content[: dice.integers(2, 33)] + dice.bytes(int(dice.integers(0, 2000)))


MUTATIONS: tuple[Mutation, ...] = (
    flipped,
    flipped_at_its_beginning,
    with_another_length,
    with_a_zero_tail,
    spliced,
    concatenated,
    with_a_piece_missing,
    with_a_piece_twice,
    with_another_in_its_middle,
    behind_another,
    noise,
)
CUTS = 16


def _any_original(dice: Dice) -> bytes:
    return list(originals().values())[dice.integers(len(originals()))]


def sample(seed: int, number: int) -> Sample:
    """The sample with this number: the cuts of every original first, then mutations for ever."""
    names = list(originals())
    if number < len(names) * CUTS:
        name, sixteenth = names[number // CUTS], number % CUTS
        return _cut(name, sixteenth)
    dice = np.random.default_rng([seed, number])
    name = names[number % len(names)]
    mutation = MUTATIONS[number // len(names) % len(MUTATIONS)]
    content = mutation(originals()[name], dice)
    if mutation is with_a_zero_tail and _has_lost_its_end(name, content):
        return Sample(f"{number} {name} {mutation.__name__}", content, cut=True)
    if dice.random() < 0.2:
        another = MUTATIONS[dice.integers(len(MUTATIONS))]
        content = another(content, dice) if len(content) > 8 else content
    return Sample(f"{number} {name} {mutation.__name__}", content)


def _has_lost_its_end(name: str, content: bytes) -> bool:
    """Whether zeros stand where a format has a mark for its end; others have none to miss."""
    whole = originals()[name][: end(originals()[name])]
    return name.startswith(("jpeg", "png", "gif")) and not content.startswith(whole)


def _cut(name: str, sixteenth: int) -> Sample:
    """Ended at a sixteenth of what it needs; at the last one, a single byte too early."""
    needs = end(originals()[name])
    length = needs - 1 if sixteenth == 0 else needs * sixteenth // CUTS
    return Sample(f"{name} cut at {length} of {needs}", originals()[name][:length], cut=True)


def samples(seed: int, count: int, first: int = 0) -> Iterator[Sample]:
    for number in range(first, first + count):
        yield sample(seed, number)


# ------------------------------------------------------------------------- polyglots


def _archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("run.sh", "#!/bin/sh\nexit 1\n")
    return stream.getvalue()


STRANGERS = {
    "zip": _archive(),
    "html": b"<!doctype html><script>alert(1)</script>",
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n",
    "php": b"<?php system($_GET['c']); ?>",
    "elf": b"\x7fELF\x02\x01\x01" + bytes(57),
    "postscript": b"%!PS-Adobe-3.0\n(/etc/passwd) (r) file\n",
}


def polyglots() -> Iterator[Sample]:
    """Whole pictures that are something else as well; what comes first is what counts."""
    for kind, strange in STRANGERS.items():
        for name in ("jpeg", "png", "gif", "webp", "bmp", "tiff"):
            yield Sample(f"{name} before {kind}", originals()[name] + strange)
            yield Sample(f"{kind} before {name}", strange + originals()[name])
        yield Sample(f"{kind} in a comment of jpeg", _with_comment(originals()["jpeg"], strange))
        yield Sample(f"{kind} in a text of png", _with_text(originals()["png"], strange))


def _with_comment(jpeg: bytes, comment: bytes) -> bytes:
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + jpeg[2:]


def _with_text(png: bytes, text: bytes) -> bytes:
    return png[:33] + png_chunk(b"tEXt", b"Comment\0" + text) + png[33:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


# ------------------------------------------------------------------------- bombs


def png_header(width: int, height: int) -> bytes:
    """57 bytes that promise any number of pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    ends = png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + ends


def gif_header(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x08\x01\0\0"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frame + b";"


def gif_frame_larger_than_its_screen(width: int, height: int) -> bytes:
    frame = gif_header(width, height)
    return frame[:6] + struct.pack("<HH", 1, 1) + frame[10:]


def bmp_header(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def jpeg_header(width: int, height: int) -> bytes:
    small = encode(Image.new("RGB", (8, 8)), "JPEG")
    at = small.index(b"\xff\xc0") + 5
    return small[:at] + struct.pack(">HH", height, width) + small[at + 4 :]


def webp_header(width: int, height: int) -> bytes:
    """An animation whose only frame is one pixel on a canvas of any size."""
    picture = encode(Image.new("RGB", (1, 1)), "WEBP", lossless=True)[12:]
    frame = bytes(6) + bytes(6) + bytes(4) + picture
    body = _riff(b"VP8X", b"\x02\0\0\0" + _of_24_bits(width - 1) + _of_24_bits(height - 1))
    body += _riff(b"ANIM", bytes(6)) + _riff(b"ANMF", frame)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def webp_lossless_header(width: int, height: int) -> bytes:
    """A picture without the chunk that says its size beforehand: it stands in its own bits."""
    bits = (width - 1) | (height - 1) << 14
    body = _riff(b"VP8L", b"\x2f" + struct.pack("<I", bits) + bytes(8))
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def _riff(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def _of_24_bits(number: int) -> bytes:
    return struct.pack("<I", number)[:3]


def tiff_header(width: int, height: int) -> bytes:
    entries = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (279, 64))
    return _tiff(entries, b"II*\0" + struct.pack("<I", 8), "<H", "<HHII", 4)


def big_tiff_header(width: int, height: int) -> bytes:
    """The form with 64 bits: its sides are larger than any database's number."""
    entries = ((256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (279, 64))
    return _tiff(entries, b"II+\0\x08\0\0\0" + struct.pack("<Q", 16), "<Q", "<HHQQ", 16)


def _tiff(
    entries: Sequence[tuple[int, int]], start: bytes, count: str, entry: str, type_: int
) -> bytes:
    packed = b"".join(struct.pack(entry, tag, type_, 1, value) for tag, value in entries)
    return start + struct.pack(count, len(entries)) + packed + bytes(8 + 64)


def avif_header(width: int, height: int) -> bytes:
    return _with_extent(originals()["avif"], width, height)


def heic_header(width: int, height: int) -> bytes:
    return _with_extent(originals()["heic"], width, height)


def _with_extent(content: bytes, width: int, height: int) -> bytes:
    """Another size in each box that says one (ISO/IEC 23008-12, ispe)."""
    for start in _all(content, b"ispe"):
        content = content[: start + 8] + struct.pack(">II", width, height) + content[start + 16 :]
    return content


def _all(content: bytes, what: bytes) -> list[int]:
    found, at = [], content.find(what)
    while at >= 0:
        found.append(at)
        at = content.find(what, at + 1)
    return found


HEADERS: dict[str, Callable[[int, int], bytes]] = {
    "png": png_header,
    "gif": gif_header,
    "gif frame": gif_frame_larger_than_its_screen,
    "bmp": bmp_header,
    "jpeg": jpeg_header,
    "webp": webp_header,
    "webp lossless": webp_lossless_header,
    "tiff": tiff_header,
    "tiff big": big_tiff_header,
    "heic": heic_header,
}
if "AVIF" in FORMATS:
    HEADERS["avif"] = avif_header

WHOLE_FORMATS = {
    "BMP": {},
    "GIF": {},
    "JPEG": {},
    "PNG": {},
    "TIFF": {},
    "WEBP": {"lossless": True},
}


def flat(width: int, height: int, format_: str = "PNG") -> bytes:
    """A whole picture of few bytes and as many pixels as you like."""
    colours = Image.new("L", (width, height), 200)
    return encode(colours, format_, **WHOLE_FORMATS[format_])


def many_frames(count: int, format_: str = "GIF") -> bytes:
    frames = [Image.new("L", (32, 32), number % 256) for number in range(count)]
    return encode(frames[0], format_, save_all=True, append_images=frames[1:], duration=20)


if __name__ == "__main__":
    sys.stdout.buffer.write(sample(int(sys.argv[1]), int(sys.argv[2])).content)
