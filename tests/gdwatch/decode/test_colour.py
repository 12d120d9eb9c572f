"""Every way in which the formats hold colour: what is decoded are the pixels that were written.

PNGs and BMPs are written here bit by bit, since no library writes all kinds. Pillow writes the
others. What a TIFF may hold is in `test_tiff`.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from PIL import Image, ImageCms

from gdwatch.decode import reduce
from gdwatch.decode.decoder import decode
from gdwatch.decode.formats import FORMATS, Limits

WIDTH, HEIGHT = 23, 17
GREY = 128  # behind what is transparent
TURNED = {1: lambda stored: stored, 6: lambda stored: np.rot90(stored, -1)}  # by orientation
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
Samples = np.ndarray  # (H, W, channels), from 0 to the largest number of the depth


def ramps(channels: int, largest: int) -> Samples:
    """Another ramp in each channel, of which the last one reaches from end to end."""
    across = np.linspace(0, 1, WIDTH)[None, :].repeat(HEIGHT, 0)
    down = np.linspace(1, 0, HEIGHT)[:, None].repeat(WIDTH, 1)
    ways = [(across, down, (across + down) / 2, across * down)[n] for n in range(channels)]
    return (np.stack(ways, axis=2) * largest).round().astype(int)


def shown(colour: np.ndarray, alpha: np.ndarray | None = None) -> np.ndarray:
    """What is seen of colours and alpha from 0 to 1: float (H, W, 3), 0 to 255."""
    rgb = np.broadcast_to(colour, (*colour.shape[:2], 3)) * 255.0
    return rgb if alpha is None else rgb * alpha + GREY * (1 - alpha)


@dataclass(frozen=True)
class Case:
    """content: of a profile, if any, and an orientation. pixels: as stored. near: mean error."""

    name: str
    content: Callable[[bytes | None, int], bytes]
    pixels: np.ndarray
    near: float = 1.0


# ------------------------------------------------------------------------- PNG


def chunk(name: bytes, body: bytes) -> bytes:
    sum_ = zlib.crc32(name + body)
    return len(body).to_bytes(4, "big") + name + body + sum_.to_bytes(4, "big")


def png(
    samples: Samples, depth: int, kind: int, side: bytes = b"", *, adam7: bool = False
) -> bytes:
    """A PNG. samples: as they are stored. kind: its colour type. side: chunks before the pixels."""
    passes = [samples]
    if adam7:
        steps = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
                 (1, 0, 2, 1))  # fmt: skip
        passes = [samples[top::down, left::across] for top, left, down, across in steps]
    rows = b"".join(b"\0" + packed(row, depth) for each in passes for row in each if row.size)
    head = struct.pack(
        ">IIBBBBB", samples.shape[1], samples.shape[0], depth, kind, 0, 0, int(adam7)
    )
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + side
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))  # fmt: skip


def packed(row: np.ndarray, depth: int) -> bytes:
    """The samples of a row, the first in the highest bits."""
    if depth == 16:
        return row.astype(">u2").tobytes()
    bits = row.reshape(-1, 1) >> np.arange(depth - 1, -1, -1) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def with_side_data(profile: bytes | None, orientation: int) -> bytes:
    colour = chunk(b"iCCP", b"p\0\0" + zlib.compress(profile)) if profile else b""
    return colour + chunk(b"eXIf", exif_of(orientation).tobytes()[6:])


def pngs() -> Iterator[Case]:
    depths = {0: (1, 2, 4, 8, 16), 2: (8, 16), 4: (8, 16), 6: (8, 16)}
    channels = {0: 1, 2: 3, 4: 2, 6: 4}
    for kind, count in channels.items():
        for depth, keyed, adam7 in product(depths[kind], (False, True), (False, True)):
            if keyed and kind > 2:
                continue  # of a colour type with alpha there is no transparent colour
            samples = ramps(count, 2**depth - 1)
            light = samples / (2**depth - 1)
            alpha = light[:, :, -1:] if kind > 2 else None
            key = b""
            if keyed:
                alpha = 1.0 - (samples == samples[3, 5]).all(axis=2, keepdims=True)
                key = chunk(b"tRNS", samples[3, 5].astype(">u2").tobytes())
            yield Case(
                f"PNG of type {kind}, {depth} bits"
                f"{', a colour left out' * keyed}{', in passes' * adam7}",
                lambda profile, turn, given=(samples, depth, kind), key=key, adam7=adam7: png(
                    *given, with_side_data(profile, turn) + key, adam7=adam7
                ),
                shown(light[:, :, :-1] if kind > 2 else light, alpha),
            )  # fmt: skip
    for depth, transparent in product((1, 2, 4, 8), (False, True)):
        count = 2**depth
        samples, colours = ramps(1, count - 1), ramps(3, 255).reshape(-1, 3)[:256][:count]
        alphas = np.linspace(0, 255, len(colours)).round().astype(int)
        samples = samples % len(colours)
        side = chunk(b"PLTE", colours.astype(np.uint8).tobytes())
        side += chunk(b"tRNS", alphas.astype(np.uint8).tobytes()) * transparent
        index = samples[:, :, 0]
        yield Case(
            f"PNG of a palette, {depth} bits{', with alpha' * transparent}",
            lambda profile, turn, given=(samples, depth, 3), side=side: png(
                *given, with_side_data(profile, turn) + side
            ),
            shown(colours[index] / 255, alphas[index][:, :, None] / 255 if transparent else None),
        )


# ------------------------------------------------------------------------- BMP


def bmp(depth: int, rows: bytes, *, height: int, masks: bytes = b"", colours: bytes = b"",
        compression: int = 0) -> bytes:  # fmt: skip
    start = 14 + 40 + len(masks) + len(colours)
    head = struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, depth, compression, len(rows), 0, 0,
                       len(colours) // 4, 0)  # fmt: skip
    file = b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start)
    return file + head + masks + colours + rows


def bmps() -> Iterator[Case]:
    for bits, top_down in product(((5, 5, 5), (5, 6, 5), (8, 8, 8), (8, 8, 8, 8)), (False, True)):
        depth = -(-sum(bits) // 8) * 8
        largest = np.array([2**each - 1 for each in bits[:3]])
        samples = (ramps(3, 65535) / 65535 * largest).round().astype(int)
        shifts = np.cumsum((0, *bits[:0:-1]))[::-1][-3:]
        numbers = (samples << shifts).sum(axis=2)
        order = numbers if top_down else numbers[::-1]
        whole = order.astype("<u4").view(np.uint8).reshape(HEIGHT, WIDTH, 4)[:, :, : depth // 8]
        lines = whole.reshape(HEIGHT, -1)
        rows = np.pad(lines, ((0, 0), (0, -lines.shape[1] % 4))).tobytes()
        masks = struct.pack(
            "<III", *(int(m) << int(s) for m, s in zip(largest, shifts, strict=True))
        )
        fields = {"masks": masks, "compression": 3} if depth in (16, 32) else {}
        content = bmp(depth, rows, height=-HEIGHT if top_down else HEIGHT, **fields)
        name = f"BMP of {'-'.join(map(str, bits))} bits{', from the top' * top_down}"
        yield Case(name, lambda *_, content=content: content, shown(samples / largest))
    colours = ramps(3, 255).reshape(-1, 3)[:16]
    index = ramps(1, 15)[:, :, 0]
    table = np.pad(colours[:, ::-1], ((0, 0), (0, 1))).astype(np.uint8).tobytes()
    runs = b"".join(b"".join(bytes([1, each]) for each in row) + b"\0\0" for row in index[::-1])
    yield Case(
        "BMP of a palette in runs",
        lambda *_: bmp(8, runs + b"\0\1", height=HEIGHT, colours=table, compression=1),
        shown(colours[index] / 255),
    )


# ------------------------------------------------------------------------- by Pillow


def saved(image: Image.Image, format_: str, **how: object) -> Callable[[bytes | None, int], bytes]:
    def content(profile: bytes | None, orientation: int) -> bytes:
        stream = io.BytesIO()
        side = {"exif": exif_of(orientation)} if format_ not in ("GIF", "BMP") else {}
        image.save(stream, format_, **how, **side, **({"icc_profile": profile} if profile else {}))
        return stream.getvalue()

    return content


def image_of(mode: str, samples: Samples) -> Image.Image:
    return Image.fromarray(samples.astype(np.uint8).squeeze(), mode)


def of_pillow() -> Iterator[Case]:
    rgb, rgba, grey = ramps(3, 255), ramps(4, 255), ramps(1, 255)
    opaque, seen = shown(rgb / 255), shown(rgba[:, :, :3] / 255, rgba[:, :, 3:] / 255)
    fine = {"quality": 100}
    for progressive in (False, True):
        jpeg = {**fine, "subsampling": 0, "progressive": progressive}
        kind = f"JPEG, {'progressive' if progressive else 'baseline'}"
        yield Case(f"{kind}, grey", saved(image_of("L", grey), "JPEG", **jpeg), shown(grey / 255))
        yield Case(f"{kind}, YCbCr", saved(image_of("RGB", rgb), "JPEG", **jpeg), opaque)
        as_rgb = saved(image_of("RGB", rgb), "JPEG", **jpeg, keep_rgb=True)
        yield Case(f"{kind}, RGB", as_rgb, opaque)
        ink = 255 - rgba  # CMYK: by Pillow's rule, light is (255 - ink) (255 - black) / 255
        light = shown(rgba[:, :, :3] * rgba[:, :, 3:] / 255 / 255)
        inks = saved(image_of("CMYK", ink), "JPEG", **jpeg)
        yield Case(f"{kind}, CMYK", inks, light, 1.5)
        yield Case(f"{kind}, YCCK", as_ycck(rgba, jpeg), light, 2.5)
    for lossless in (True, False):
        webp = {"lossless": lossless, "exact": True, **fine}
        kind, near = f"WebP, {'lossless' if lossless else 'lossy'}", 1.0 if lossless else 5.0
        yield Case(kind, saved(image_of("RGB", rgb), "WEBP", **webp), opaque, near)
        yield Case(f"{kind}, alpha", saved(image_of("RGBA", rgba), "WEBP", **webp), seen, near)
    yield from of_gif(rgb)
    for format_ in [each for each in ("AVIF", "HEIF") if each in FORMATS]:
        how = {**fine, "subsampling": "4:4:4"} if format_ == "AVIF" else {"quality": -1}
        yield Case(format_, saved(image_of("RGB", rgb), format_, **how), opaque, 3.0)
        yield Case(f"{format_}, alpha", saved(image_of("RGBA", rgba), format_, **how), seen, 3.0)


def as_ycck(rgba: Samples, how: dict[str, object]) -> Callable[[bytes | None, int], bytes]:
    """A JPEG that holds YCbCr of the inks, and black, as Adobe writes it; Pillow writes CMYK."""
    ycc = np.asarray(image_of("RGB", 255 - rgba[:, :, :3]).convert("YCbCr"))
    planes = np.concatenate([ycc, rgba[:, :, 3:]], axis=2)

    def content(profile: bytes | None, orientation: int) -> bytes:
        written = saved(image_of("CMYK", 255 - planes), "JPEG", **how)(profile, orientation)
        at = written.index(b"Adobe") + 11
        return written[:at] + b"\x02" + written[at + 1 :]

    return content


def of_gif(rgb: Samples) -> Iterator[Case]:
    image = image_of("RGB", rgb).quantize(64)
    colours = np.asarray(image.convert("RGB"))
    yield Case("GIF", saved(image, "GIF"), shown(colours / 255))
    hidden = int(np.asarray(image)[2, 2])
    alpha = (np.asarray(image) != hidden)[:, :, None].astype(float)
    left_out = saved(image, "GIF", transparency=hidden)
    yield Case("GIF, a colour left out", left_out, shown(colours / 255, alpha))


CASES = [*pngs(), *bmps(), *of_pillow()]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_decoded_as_it_was_written(case: Case) -> None:
    for profile, (orientation, turned) in product((None, PROFILE), TURNED.items()):
        content = case.content(profile, orientation)
        pixels = decode(content, Limits(10_000), lambda photo: np.asarray(reduce.image(photo)))[1]
        # Two of these hold no EXIF; a HEIC is turned by a box of its own, and not by its EXIF.
        is_turned = case.name[:3] not in ("BMP", "GIF", "HEI")
        upright = turned(case.pixels) if is_turned else case.pixels
        assert pixels.shape == upright.shape
        assert np.abs(pixels - upright).mean() < case.near, (profile is not None, orientation)
