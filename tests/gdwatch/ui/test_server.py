"""`gdwatch ui` as a process: its address, its end, and beside a service."""

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from gdwatch.commands import doctor
from gdwatch.errors import GdwatchError
from gdwatch.ui import server
from tests import build
from tests.build import Services, photograph
from tests.gdwatch.ui.conftest import Browser, Page, make_world, ui_settings

pytestmark = pytest.mark.timeout(120)


@contextmanager
def running(root: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], Browser]]:
    log = root.with_name("ui.log")
    with log.open("wb") as stream:
        words = [sys.executable, "-m", "gdwatch", "ui", f"--root={root}", f"--port={port}"]
        process = subprocess.Popen(words, env=build.environment(), stderr=stream)
    try:
        build.wait_until(lambda: "the page is at" in log.read_text(), "the page")
        yield process, Browser("127.0.0.1", port)
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_beside_a_service_verdicts_are_filed_also_when_it_is_killed(
    services: Services, root: Path
) -> None:
    service = services.start(root)
    service.wait_for("service.ready")
    for name, number in (("a", 1), ("b", 2)):
        build.put(root, f"{name}.png", photograph(number, build.GREY))
    service.wait_for_filed("inbox/a.png", "inbox/b.png")
    with running(root, free_port()) as (process, browser):
        settings = ui_settings(root, ui_port=browser.port)
        assert doctor._page(settings) == f"is served on port {browser.port}"
        browser.load()
        waiting = browser.next("order=newest")["photographs"]
        assert browser.say(waiting[0], "male").status == 200
        filed_at(root, f"male/{waiting[0]['name']}")
        service.process.kill()
        service.process.wait()
        assert browser.say(waiting[1], "female").status == 200
        filed_at(root, f"female/{waiting[1]['name']}")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    words = build.query(root, 'SELECT label, "by" FROM corrections ORDER BY id')
    assert [each["label"] for each in words] == ["male", "female"]


def filed_at(root: Path, path: str) -> None:
    def lies() -> bool:
        states = {row["path"]: row["state"] for row in build.rows(root)}
        return states.get(path) == "filed" and (root / path).is_file()

    build.wait_until(lies, path)


def test_an_address_that_is_taken_is_named(root: Path) -> None:
    with ExitStack() as stack:
        make_world(root, stack)
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        settings = ui_settings(root, ui_port=taken.getsockname()[1])
        with pytest.raises(GdwatchError, match=r"ui: 127\.0\.0\.1:"):
            stack.enter_context(server.serving(settings))
        with pytest.raises(GdwatchError, match="address already in use"):
            server.require_servable(settings)
        assert not server.is_served(settings)
        taken.close()
        assert server.require_servable(settings) == f"http://127.0.0.1:{settings.ui_port}/"


def test_a_connection_can_be_used_again(page: Page) -> None:
    connection = http.client.HTTPConnection(page.browser.host, page.browser.port, timeout=30)
    for _ in range(3):
        connection.request("GET", "/static/style.css")
        assert connection.getresponse().read()
    connection.close()
