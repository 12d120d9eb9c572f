"""What a photograph's EXIF says of its making: when, and with which camera.

It counts as hostile: what cannot be read, or makes no sense, is left out.
"""

import re
import warnings
from datetime import datetime

from PIL import Image

from gdwatch.decode.formats import open_image
from gdwatch.values import Origin

_MAKE, _MODEL = 0x010F, 0x0110
_EXIF_IFD = 0x8769
_TAKEN, _DIGITISED = (0x9003, 0x9011), (0x9004, 0x9012)  # tags of a time and of its offset from UTC
_OFFSET = re.compile(r"[+-]\d\d:\d\d")
_LONGEST = 100  # characters of a camera's name


def origin_of(content: bytes) -> Origin:
    """Read the origin of an accepted image. content: the whole file."""
    if not _may_have_exif(content):  # to open the picture again takes longer than to look
        return Origin()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The base class's, because PNG's own decodes the picture to find EXIF behind it.
            exif = Image.Image.getexif(open_image(content))
            details = exif.get_ifd(_EXIF_IFD)
    except Exception:  # whatever a parser raises on hostile bytes
        return Origin()
    times = (_time(details.get(time), details.get(offset)) for time, offset in (_TAKEN, _DIGITISED))
    taken_at = next((time for time in times if time), None)
    return Origin(taken_at, _camera(exif.get(_MAKE), exif.get(_MODEL)))


def _may_have_exif(content: bytes) -> bool:
    if content.startswith(b"\xff\xd8"):
        return b"Exif\0\0" in content[:0x10000]
    is_tiff = content.startswith((b"II*\0", b"MM\0*"))
    return is_tiff or any(name in content for name in (b"Exif", b"EXIF", b"eXIf"))


def _time(taken: object, offset: object) -> str | None:
    try:
        time = datetime.strptime(_text(taken), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    zone = _text(offset)
    return f"{time:%Y-%m-%d %H:%M:%S}" + (zone if _OFFSET.fullmatch(zone) else "")


def _camera(make: object, model: object) -> str | None:
    first, second = _text(make), _text(model)
    name = second if second.lower().startswith(first.lower()) else f"{first} {second}".strip()
    return name[:_LONGEST] or None


def _text(value: object) -> str:
    """Return a tag's text on one line, without what is not printable; empty if it is no text."""
    if not isinstance(value, str):
        return ""
    printable = "".join(letter if letter.isprintable() else " " for letter in value)
    return " ".join(printable.encode("utf-8", "ignore").decode().split())
