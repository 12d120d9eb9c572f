"""Serving the page: opens the ledger, takes the address, and answers until it is ended."""

import contextlib
import http.client
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn

from gdwatch.errors import GdwatchError
from gdwatch.ledger.opening import open_ledger
from gdwatch.root import root_id
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.ui.access import Access
from gdwatch.ui.app import make_app
from gdwatch.ui.counts import Counter
from gdwatch.ui.explanation import Explanations
from gdwatch.ui.patience import ImpatientProtocol
from gdwatch.ui.site import Site
from gdwatch.ui.thumbnails import Thumbnails
from gdwatch.ui.wishes import Wishes

PORT = 8477  # where none is set
_MOST_CONNECTIONS = 200
_END_S = 5
_ASK_S = 2


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[tuple[uvicorn.Server, socket.socket]]:
    """Open the ledger and the address of the page, and give what serves it.

    Raises GdwatchError if the address is taken, or as `open_ledger` and `Access`.
    """
    access = Access(settings)
    folders = Folders.of(settings)
    root_id.require_own(folders)
    with contextlib.ExitStack() as stack:
        ledger = open_ledger(settings, root_id.read_id(folders))
        stack.callback(ledger.close)
        listening = stack.enter_context(contextlib.closing(_listening(settings)))
        thumbnails = Thumbnails(settings, folders)
        wishes = Wishes(ledger, folders, settings)
        counter = Counter(ledger, folders, settings)
        explanations = Explanations(settings, folders)
        site = Site(settings, folders, ledger, access, thumbnails, wishes, counter, explanations)
        config = uvicorn.Config(
            make_app(site),
            http=ImpatientProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_END_S,
        )
        yield uvicorn.Server(config), listening


def serve(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve the page until SIGINT or SIGTERM. ready: called with its address, once it is taken.

    Raises GdwatchError.
    """
    with serving(settings) as (server, listening):
        for number in (signal.SIGINT, signal.SIGTERM):
            # When it has ended, uvicorn raises the signal again for whoever had handled it before.
            signal.signal(number, lambda *_: None)
        ready(address_of(listening))
        server.run(sockets=[listening])


def require_servable(settings: Settings) -> str:
    """Return the address at which the page could be served now.

    Raises GdwatchError if the address is taken, or as `Access`.
    """
    Access(settings)
    with contextlib.closing(_listening(settings)) as listening:
        return address_of(listening)


def is_served(settings: Settings) -> bool:
    """Whether a page of ours answers at its address."""
    host, port = settings.ui_host, PORT if settings.ui_port is None else settings.ui_port
    asking = http.client.HTTPConnection(host, port, timeout=_ASK_S)
    try:
        asking.request("GET", "/static/icon.svg", headers={"Host": f"{host}:{port}"})
        answer = asking.getresponse()
        return answer.status == 200 and answer.headers["x-frame-options"] == "DENY"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asking.close()


def address_of(listening: socket.socket) -> str:
    """Return the page's address as a person types it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _listening(settings: Settings) -> socket.socket:
    host, port = settings.ui_host, PORT if settings.ui_port is None else settings.ui_port
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.create_server(address[:2], family=family, backlog=_MOST_CONNECTIONS)
    except OSError as error:
        # `create_server` adds the address to the system's words.
        why = (error.strerror or str(error)).partition(" (while")[0]
        raise GdwatchError(
            f"ui: {host}:{port}: {why.lower()}",
            "set ui_port or ui_host to what is free",
        ) from error
    listening.settimeout(0)
    return listening
