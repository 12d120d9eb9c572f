"""Write HTML pages, each one self-contained file."""

import base64
import io
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from gdwatch.decode.reduce import Pixels
from train.atomic_files import publish

_TEMPLATES = Path(__file__).parent / "pages"
_THUMBNAIL = 96  # pixels


def write(path: Path, template: str, **content: Any) -> None:
    """Fill a template of `pages/` and write it. Raises GdwatchError if that cannot be done."""
    # File names may hold markup: all values are escaped, but for our own Markup.
    found = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    style = (_TEMPLATES / "style.css").read_text(encoding="utf-8")
    with publish(path) as aside:
        text = found.get_template(template).render(style=style, **content)
        aside.write_text(text, encoding="utf-8", errors="replace")


def thumbnail(square: Pixels) -> str:
    """A picture as a data URL. square: uint8 (S, S, 3), RGB."""
    stream = io.BytesIO()
    Image.fromarray(square).resize((_THUMBNAIL, _THUMBNAIL)).save(stream, "WEBP", quality=70)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
