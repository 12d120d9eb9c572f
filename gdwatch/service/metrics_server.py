"""Serving `/metrics` and `/healthz` over HTTP, on a thread of its own.

One request at a time: whoever opens many connections cannot take memory or threads from the
service, and may only make others wait.
"""

import socket
import threading
from collections.abc import Iterable
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog

from gdwatch.errors import ActionNeeded
from gdwatch.service.observed import Observed
from gdwatch.settings import Settings

log = structlog.get_logger()

_TIMEOUT_S = 2.0  # for a client to say what it wants, and to take the answer


class _Handler(WSGIRequestHandler):
    timeout = _TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests: there is one every few seconds."""


class _Server(WSGIServer):
    def server_bind(self) -> None:
        """Bind as a plain server does: the library's own would look its name up in DNS."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a client go that says nothing or has hung up."""


def start(settings: Settings, observed: Observed) -> None:
    """Serve from now on until the process ends; without the setting `metrics_port`, nothing.

    Raises ActionNeeded if the address cannot be had.
    """
    if settings.metrics_port is None:
        return
    server = bound(settings.metrics_host, settings.metrics_port)
    server.set_app(_app(observed))
    # Woken by requests alone, not twice a second. The end of the process does not wait for it: it
    # may be listing an inbox whose disk does not answer.
    threading.Thread(target=server.serve_forever, args=[None], name="metrics", daemon=True).start()
    log.info("metrics.listening", address=_shown(settings.metrics_host, server.server_port))


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def bound(host: str, port: int) -> WSGIServer:
    """Return a server that listens on this address, without an application yet.

    Raises ActionNeeded if the address cannot be had.
    """
    where = f"metrics_host {host}, metrics_port {port}"
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        kind = type("_Server", (_Server,), {"address_family": family})
        server: WSGIServer = kind(address[:2], _Handler)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ActionNeeded(
            f"{where}: {why.lower()}", "set them to a free port and an address of this machine"
        ) from error
    return server


def _app(observed: Observed) -> Any:
    from prometheus_client import make_wsgi_app

    from gdwatch.service.metrics import registry_of

    metrics = make_wsgi_app(registry_of(observed))

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        if environ["PATH_INFO"] == "/healthz":
            why = observed.ailment()
            return _plain(start_response, "503 Service Unavailable" if why else "200 OK", why)
        return _plain(start_response, "404 Not Found", "/metrics or /healthz")

    return app


def _plain(start_response: Any, status: str, words: str) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{words or 'ok'}\n".encode()]
