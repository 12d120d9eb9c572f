"""Signing in with a token, and out."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gdwatch.ui.guard import cookie_name
from gdwatch.ui.site import json_of, page, session_of, site_of


def form(request: Request) -> Response:
    """The form that asks for a token."""
    return page(request, "sign_in.html", is_signed_in=session_of(request).name is not None)


async def sign_in(request: Request) -> Response:
    """Begin the session of the person whose token was given. Raises Refused."""
    given = await json_of(request)
    request.scope["new_session"] = site_of(request).access.signed_in(str(given.get("token", "")))
    return JSONResponse({"next": "/"})


async def sign_out(request: Request) -> Response:
    """End the session in this browser."""
    response = JSONResponse({"next": "/sign-in"})
    response.delete_cookie(cookie_name(request.scope), httponly=True, samesite="strict")
    return response
