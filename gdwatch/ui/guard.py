"""What stands before every handler: access, limits, and the headers of every response."""

import asyncio
import time
from collections import OrderedDict

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gdwatch.ui.access import SESSION_S, Access, Refused, Session

CSRF_HEADER = "x-csrf-token"
_MOST_BYTES = 64 * 1024  # of a request's body
BODY_S = 10.0  # for all of a request's body to arrive
_OPEN_TO_ALL = ("/sign-in", "/static/")
_ADDRESSES = 10_000  # whose rate is remembered
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Rate:
    """A token bucket for each key. per_s: acts a second on average. burst: acts at once."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, key: str, now: float) -> bool:
        """Take one act from a key's bucket, if it has one. now: seconds, monotonic."""
        left, then = self._left.pop(key, (float(self._burst), now))
        left = min(self._burst, left + (now - then) * self._per_s)
        allowed = left >= 1
        self._left[key] = (left - allowed, now)
        if len(self._left) > _ADDRESSES:
            self._left.popitem(last=False)
        return allowed


class Guard:
    """ASGI middleware: lets a request through to the page, or answers why not."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._reads = Rate(100, 400)
        self._acts = Rate(10, 60)
        self._sign_ins = Rate(0.2, 10)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        scope["new_session"] = None  # to be set as a cookie

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message), connection)
            await send(message)

        try:
            self._let_in(connection)
            await self._app(scope, _bounded(scope, receive), send_with_headers)
        except Refused as refused:
            await refusal(refused)(scope, receive, send_with_headers)
        except _SignInFirst:
            await RedirectResponse("/sign-in", 303)(scope, receive, send_with_headers)

    def _add_headers(self, headers: MutableHeaders, connection: HTTPConnection) -> None:
        for name, value in HEADERS.items():
            headers[name] = value
        headers.setdefault("cache-control", "no-store")
        if connection.scope["new_session"] is not None:
            headers.append("set-cookie", self._cookie(connection))

    def _let_in(self, connection: HTTPConnection) -> None:
        """Put the session into the scope, and the token for its forms. Raises Refused."""
        access, scope = self._access, connection.scope
        is_read = scope["method"] in ("GET", "HEAD")
        access.require_host(connection)
        access.require_same_site(connection)
        session, is_new = access.session_of(connection, connection.cookies.get(cookie_name(scope)))
        self._require_rate(connection, session)
        if not is_read:
            access.require_csrf(session, connection.headers.get(CSRF_HEADER))
        scope["session"] = session
        scope["csrf"] = access.csrf_of(session)
        scope["new_session"] = session if is_new else None
        if session.name is None and not scope["path"].startswith(_OPEN_TO_ALL):
            if is_read:
                raise _SignInFirst
            raise Refused(403, "Sign in first.")

    def _require_rate(self, connection: HTTPConnection, session: Session) -> None:
        who = f"{connection.client.host if connection.client else ''} {session.name or ''}"
        rate = self._reads
        if connection.scope["method"] not in ("GET", "HEAD"):
            rate = self._sign_ins if connection.scope["path"] == "/sign-in" else self._acts
        if not rate.allows(who, time.monotonic()):
            raise Refused(429, "Too many requests. Wait a moment.")

    def _cookie(self, connection: HTTPConnection) -> str:
        is_https = "https" in (connection.url.scheme, connection.headers.get("x-forwarded-proto"))
        value = self._access.cookie_of(connection.scope["new_session"])
        secure = "; Secure" if is_https else ""
        kept = f"Max-Age={SESSION_S}; Path=/; HttpOnly; SameSite=Strict{secure}"
        return f"{cookie_name(connection.scope)}={value}; {kept}"


def cookie_name(scope: Scope) -> str:
    """Return the cookie's name: browsers give a cookie to every port of a host."""
    return f"gdwatch-{scope['server'][1]}"


def refusal(refused: Refused) -> PlainTextResponse:
    """Return the response that says why a request is refused."""
    return PlainTextResponse(f"{refused.why}\n", refused.status)


class _SignInFirst(Exception):  # noqa: N818 - leads to another page
    """Nobody has signed in yet."""


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """Bound the size of a request's body, and the time in which it arrives."""
    length = Headers(scope=scope).get("content-length", "0")
    if not length.isdecimal() or int(length) > _MOST_BYTES:
        raise Refused(413, "The request is too long.")
    end = time.monotonic() + BODY_S
    taken: int | None = 0

    async def bounded() -> Message:
        nonlocal taken
        try:
            # Once the body is there, the next message only tells that the browser has gone.
            left_s = None if taken is None else max(0.0, end - time.monotonic())
            message = await asyncio.wait_for(receive(), left_s)
        except TimeoutError:
            raise Refused(408, "The request came too slowly.") from None
        if message["type"] == "http.request" and taken is not None:
            taken += len(message.get("body", b""))
            if taken > _MOST_BYTES:
                raise Refused(413, "The request is too long.")
            if not message.get("more_body", False):
                taken = None
        return message

    return bounded
