"""The page as an ASGI application: its routes, and how errors are answered.

A request names photographs by id only: nothing of its path or query is ever part of a file's path.
"""

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gdwatch.errors import GdwatchError, Trouble
from gdwatch.ui import one, overview, pictures, review, search, sign_in
from gdwatch.ui.access import Refused
from gdwatch.ui.guard import Guard, refusal
from gdwatch.ui.photographs import NoSuchPhotograph
from gdwatch.ui.site import Site, page, static_file

_ROUTES = [
    Route("/", overview.overview),
    Route("/rejected", search.rejected),
    Route("/search", search.search),
    Route("/photographs/{id:int}", one.one),
    Route("/review", review.review),
    Route("/review/many", review.many),
    Route("/review/next", review.following),
    Route("/verdicts", review.verdicts, methods=["POST"]),
    Route("/photographs/{id:int}/verdict", review.verdict, methods=["POST"]),
    Route("/photographs/{id:int}/requeue", review.requeue, methods=["POST"]),
    Route("/photographs/{id:int}/file", pictures.download),
    Route("/photographs/{id:int}/explanation", pictures.explanation),
    Route("/undo/{id:int}", review.undo, methods=["POST"]),
    Route("/pictures/{id:int}/{size}", pictures.picture),
    Route("/sign-in", sign_in.form, methods=["GET"]),
    Route("/sign-in", sign_in.sign_in, methods=["POST"]),
    Route("/sign-out", sign_in.sign_out, methods=["POST"]),
    Route("/static/{name}", static_file),
]


def make_app(site: Site) -> ASGIApp:
    """Return the application; it ends the site's workers when it is shut down."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        site.wishes.close()
        site.thumbnails.close()
        site.counter.close()
        site.explanations.close()

    app = Starlette(
        routes=_ROUTES,
        lifespan=lifespan,
        exception_handlers={
            Refused: _refused,
            GdwatchError: _failed,
            HTTPException: _not_found,
        },
    )
    app.state.site = site
    return Guard(app, site.access)


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return refusal(error)


def _failed(request: Request, error: Exception) -> Response:
    """Say what went wrong, as a command does. 409: with this photograph; 503: for the moment."""
    assert isinstance(error, GdwatchError)
    status = 503 if isinstance(error, Trouble) else 409
    if isinstance(error, NoSuchPhotograph):
        status = 404
    return _answer(request, status, error.message, error.hint)


def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(request, error.status_code, error.detail.lower(), "")


def _answer(request: Request, status: int, message: str, hint: str) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        return page(request, "error.html", status, message=message, hint=hint)
    return JSONResponse({"error": message, "hint": hint}, status)
