"""Decodes pictures of any mode to 8-bit RGB: 16-bit grey, palettes, transparency."""

import io
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from gdwatch.decode.reduce import Picture, Pixels

_ROWS = 256  # scaled at once: as floats, all rows of a picture take eight times the memory
_GREY_STEPS = {"L;2": 255 // 3, "L;4": 255 // 15}  # of a PNG, by Pillow's word for its packing
_BACKGROUND = (128, 128, 128)  # behind transparent pixels, whose own colour is often nonsense


def to_rgb(image: Image.Image, content: bytes, least: int) -> Picture:
    """Decode a picture and convert it to RGB.

    image: opened, not yet decoded.
    content: the file that it was opened from.
    least: as in `decode`, for a JPEG; other formats keep their size.

    Raises what Pillow and simplejpeg raise.
    """
    if image.format in ("JPEG", "MPO"):
        # The same pixels as Pillow's, which uses the same library, in about 0.65 of its time; and
        # Pillow heeds no warning of it. Of the reduced sizes, only these decode faster.
        factor = next((n for n in (8, 4, 2) if max(image.size) >= n * least > 0), 1)
        height, width = (-(-length // factor) for length in image.size[::-1])
        colours = "CMYK" if image.mode == "CMYK" else "RGB"
        pixels: Pixels = simplejpeg.decode_jpeg(
            content, colours, strict=True, min_height=height, min_width=width
        )
        return pixels if colours == "RGB" else _from_inverted_cmyk(pixels)
    return to_rgb_by_pillow(image, content)


def _from_inverted_cmyk(pixels: Pixels) -> Image.Image:
    """Convert CMYK as JPEGs hold it, 255 for no ink: uint8 (H, W, 4), which is changed."""
    np.invert(pixels, out=pixels)
    return Image.fromarray(pixels, "CMYK").convert("RGB")


def to_rgb_by_pillow(image: Image.Image, content: bytes) -> Image.Image:
    """As `to_rgb`, for every format. Of a JPEG it heeds no warning, and takes any subsampling."""
    if image.format == "PNG":
        # Decoding does not verify the checksums of the chunks that hold pixels.
        Image.open(io.BytesIO(content), formats=["PNG"]).verify()
        _scale_transparent_grey(image)
    image.load()
    if image.mode.startswith("I") or image.mode == "F":
        photo = _from_deep(image, is_negative=_has_white_for_zero(image))
        if image.format == "PNG" and image.has_transparency_data:
            photo.paste(_BACKGROUND, mask=_transparent(image))
        return photo
    if image.format == "BMP" and image.mode == "RGBA" and _is_transparent(image):
        # Written by programs that leave the fourth byte of a pixel unused: viewers show it opaque.
        return image.convert("RGB")
    if image.has_transparency_data:
        if image.mode != "RGBA":
            image = image.convert("RGBA")
        photo = Image.new("RGB", image.size, _BACKGROUND)
        photo.paste(image, mask=image)
        return photo
    return image.convert("RGB")


def _scale_transparent_grey(image: Image.Image) -> None:
    """Let the transparent grey of a PNG fit its pixels: Pillow scales those alone to 8 bits."""
    grey = image.info.get("transparency")
    if image.mode == "L" and isinstance(grey, int) and isinstance(image, ImageFile.ImageFile):
        image.info["transparency"] = grey * _GREY_STEPS.get(str(image.tile[0].args), 1)


def _transparent(image: Image.Image) -> Image.Image:
    """Return a mask of the pixels that have the one transparent grey of 16 bits."""
    return Image.fromarray(np.asarray(image) == image.info["transparency"])


def _is_transparent(image: Image.Image) -> bool:
    return image.getchannel("A").getextrema() == (0, 0)


def _has_white_for_zero(image: Image.Image) -> bool:
    """Return whether a TIFF says so: of deep grey, Pillow does not turn it round."""
    return (
        image.format == "TIFF" and image.getexif().get(ExifTags.Base.PhotometricInterpretation) == 0
    )


def _from_deep(image: Image.Image, *, is_negative: bool) -> Image.Image:
    """Scale 16-bit, 32-bit and float grey to 8 bits; Pillow's own conversion would clip."""
    values = np.asarray(image)
    low, high = _range(values)
    if image.mode.startswith("I") and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    scale = 255 / (high - low) if high > low else 0.0
    grey = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), _ROWS):
        floats = values[row : row + _ROWS].astype(np.float64)
        floats = (np.nan_to_num(floats, nan=low, posinf=high, neginf=low) - low) * scale
        grey[row : row + _ROWS] = floats.round().clip(0, 255)
    if is_negative:
        np.invert(grey, out=grey)
    return Image.fromarray(grey).convert("RGB")


def _range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the least and the greatest finite value; 0 and 0 if there is none."""
    finite = values if values.dtype.kind in "iu" else values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
