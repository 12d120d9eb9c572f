"""Who may ask the page: host names, sign-in, sessions, and protection against forged requests.

On the loopback address a browser acts for the user who has started the page. Elsewhere a person
signs in with a token of the token file, or a proxy names the user.
"""

import hashlib
import hmac
import ipaddress
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.requests import HTTPConnection

from gdwatch.errors import ActionNeeded
from gdwatch.files.users import own_name
from gdwatch.settings import Settings

SESSION_S = 12 * 3600
_SHORTEST_TOKEN = 20  # characters
_LONGEST_NAME = 64
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_MINE = ("same-origin", "none")  # of Sec-Fetch-Site: our own page, or typed by the person


class Refused(Exception):  # noqa: N818 - an answer, not a failure of ours
    """A request is not answered. status: of the HTTP response. Its text says why, in a sentence."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(frozen=True, slots=True)
class Session:
    """A browser's session. name: of the person; None before sign-in. nonce: unlike any other's."""

    name: str | None
    nonce: str


class Access:
    """The rules by which requests are let in.

    Raises ActionNeeded if the settings would let strangers in, or the token file is unusable.
    """

    def __init__(self, settings: Settings) -> None:
        self._header = settings.ui_user_header
        self._proxies = set(settings.ui_proxies)
        self._tokens = _tokens_of(settings.ui_tokens) if settings.ui_tokens else {}
        self._names = {*settings.ui_names, settings.ui_host, *_LOOPBACK_NAMES}
        self.mode: Literal["loopback", "token", "proxy"] = (
            "proxy" if self._header else "token" if self._tokens else "loopback"
        )
        if self.mode == "loopback" and not is_loopback(settings.ui_host):
            raise ActionNeeded(
                f"setting ui_host = {settings.ui_host}: anybody in the network could use the page",
                "set ui_tokens, or ui_user_header behind a proxy that signs people in",
            )
        key = secrets.token_bytes(32)  # sessions end with the process
        self._sessions = URLSafeTimedSerializer(key, salt="session")
        self._csrf_key = hmac.digest(key, b"csrf", "sha256")

    def require_host(self, connection: HTTPConnection) -> None:
        """Refuse a request under a foreign host name: DNS may have been rebound to our address."""
        host = connection.headers.get("host", "")
        name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
        name = name if port.isdecimal() else host
        if name.lower() not in self._names:
            raise Refused(421, "This page is not served under that name; see ui_names.")

    def require_same_site(self, connection: HTTPConnection) -> None:
        """Refuse what another site's page asks for, except that a link may lead here."""
        site = connection.headers.get("sec-fetch-site", "none")
        is_link = connection.headers.get("sec-fetch-mode") == "navigate"
        is_read = connection.scope["method"] in ("GET", "HEAD")
        if site not in _MINE and not (is_link and is_read):
            raise Refused(403, "Another site has asked for this.")
        # Behind a proxy the scheme is not the browser's, so only the host is compared.
        _, _, origin = connection.headers.get("origin", "").rpartition("://")
        own = connection.headers.get("host", "").lower()
        if "origin" in connection.headers and not is_read and origin.lower() != own:
            raise Refused(403, "Another site has asked for this.")

    def session_of(self, connection: HTTPConnection, cookie: str | None) -> tuple[Session, bool]:
        """Return the session that a cookie names, or another, and whether it is new.

        Raises Refused.
        """
        named = self._named_by_proxy(connection) if self.mode == "proxy" else None
        try:
            said = self._sessions.loads(cookie or "", max_age=SESSION_S)
            session = Session(said["name"], said["nonce"])
        except BadData:
            return self.new_session(own_name() if self.mode == "loopback" else named), True
        if named not in (None, session.name):
            return self.new_session(named), True
        return session, False

    def new_session(self, name: str | None) -> Session:
        """Return a session with a nonce of its own. name: of the person; None if not signed in."""
        return Session(name, secrets.token_urlsafe(18))

    def cookie_of(self, session: Session) -> str:
        """Return the value of a session's cookie, signed."""
        return self._sessions.dumps({"name": session.name, "nonce": session.nonce})

    def csrf_of(self, session: Session) -> str:
        """Return the token without which this session's browser can change nothing."""
        return hmac.digest(self._csrf_key, session.nonce.encode(), "sha256").hex()

    def require_csrf(self, session: Session, given: str | None) -> None:
        """Refuse an act without the session's token: another site's page may have asked for it."""
        if not hmac.compare_digest(self.csrf_of(session).encode(), (given or "").encode()):
            raise Refused(403, "The page has expired. Load it again.")

    def signed_in(self, token: str) -> Session:
        """Return the session of the person whose token this is. Raises Refused."""
        name = self._tokens.get(_digest(token))
        if name is None:
            raise Refused(403, "That token is not known.")
        return self.new_session(name)

    def _named_by_proxy(self, connection: HTTPConnection) -> str:
        peer = connection.client.host if connection.client else ""
        if peer not in self._proxies:
            raise Refused(403, "Only the proxy may ask; see ui_proxies.")
        names = connection.headers.getlist(self._header or "")
        if len(names) != 1 or not _is_name(names[0]):
            raise Refused(403, f"The proxy has not named the user in {self._header}.")
        return names[0]


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tokens_of(file: Path) -> Mapping[str, str]:
    """Return the names of a token file by the digest of their token. Raises ActionNeeded."""
    try:
        with file.open(encoding="utf-8") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            lines = [line.split() for line in stream if line.strip() and line[0] != "#"]
    except (OSError, ValueError) as error:
        raise ActionNeeded(f"token file {file}: {error}", "mend it, or set ui_tokens") from error
    if stat.S_IMODE(mode) & 0o077:
        raise ActionNeeded(f"token file {file}: others may read it", f"chmod 600 {file}")
    tokens = {}
    for number, words in enumerate(lines, 1):
        if len(words) != 2 or len(words[1]) < _SHORTEST_TOKEN or not _is_name(words[0]):
            raise ActionNeeded(
                f"token file {file}: entry {number} is no name with a token",
                f"write NAME TOKEN, the token {_SHORTEST_TOKEN} characters at least",
            )
        tokens[_digest(words[1])] = words[0]
    if not tokens:
        raise ActionNeeded(f"token file {file}: names nobody", "write a line NAME TOKEN")
    return tokens


def _digest(token: str) -> str:
    # By digest, so that how long a comparison takes says nothing of the token.
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _is_name(name: str) -> bool:
    return 0 < len(name) <= _LONGEST_NAME and name.isprintable() and name == name.strip()
