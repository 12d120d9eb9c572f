"""What every handler of the page works with, and how it reads a request and renders a page."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from gdwatch import __version__
from gdwatch.ledger.ledger import Ledger
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.ui import reasons
from gdwatch.ui.access import Access, Refused, Session
from gdwatch.ui.counts import Counter
from gdwatch.ui.explanation import Explanations
from gdwatch.ui.thumbnails import Thumbnails
from gdwatch.ui.wishes import Wishes

_HERE = Path(__file__).parent
LARGEST_ID = 2**63 - 1  # the largest integer that a database holds
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Site:
    """One root's page: what it shows, and whom it lets in."""

    settings: Settings
    folders: Folders
    ledger: Ledger
    access: Access
    thumbnails: Thumbnails
    wishes: Wishes
    counter: Counter
    explanations: Explanations


def site_of(request: Request) -> Site:
    """Return the site that a request is for."""
    site: Site = request.app.state.site
    return site


def session_of(request: Request) -> Session:
    """Return the session of a request that the guard has let in."""
    session: Session = request.scope["session"]
    return session


def name_of(request: Request) -> str:
    """Return the name of the person who asks. Raises Refused."""
    name = session_of(request).name
    if name is None:
        raise Refused(403, "Sign in first.")
    return name


def id_of(request: Request) -> int:
    """Return the id in a request's path. Raises Refused if it can be none."""
    number: int = request.path_params["id"]
    if number > LARGEST_ID:
        raise Refused(404, "There is no such photograph.")
    return number


async def json_of(request: Request) -> Mapping[str, Any]:
    """Return a request's body, a JSON object. Raises Refused."""
    try:
        given = json.loads(await request.body())
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise Refused(400, "The request is not understood.")
    return given


# ------------------------------------------------------------------------- what is rendered

_STATIC = {
    file.name: (file.read_bytes(), _TYPES[file.suffix])
    for file in sorted((_HERE / "static").iterdir())
    if file.suffix in _TYPES
}
_VERSION = hashlib.sha256(b"".join(content for content, _ in _STATIC.values())).hexdigest()[:12]
_templates = Jinja2Templates(directory=_HERE / "templates")
_templates.env.trim_blocks = _templates.env.lstrip_blocks = True
_templates.env.filters["sentence"] = reasons.sentence_of
_templates.env.filters["advice"] = reasons.advice_of
_templates.env.globals["static"] = lambda name: f"/static/{name}?v={_VERSION}"
_templates.env.globals["version"] = __version__


def page(request: Request, template: str, code: int = 200, **context: Any) -> Response:
    """Render a page from its template; every value is escaped."""
    common = {
        "person": session_of(request).name,
        "csrf": request.scope["csrf"],
        "failure": site_of(request).wishes.failure,
        "may_sign_out": site_of(request).access.mode == "token",
        "here": request.url.path,
    }
    return _templates.TemplateResponse(request, template, {**common, **context}, code)


def static_file(request: Request) -> Response:
    """Answer with one of our own files, which were read at the start."""
    found = _STATIC.get(request.path_params["name"])
    if found is None:
        raise Refused(404, "There is no such file.")
    content, type_ = found
    return Response(content, 200, {"cache-control": "private, max-age=86400"}, type_)
