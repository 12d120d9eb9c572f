"""The page that the service serves: filing goes on whatever becomes of it."""

import os
import signal
import socket
from pathlib import Path

import pytest

from tests import build
from tests.build import Services, photograph
from tests.gdwatch.ui.conftest import Browser
from tests.gdwatch.ui.test_server import filed_at, free_port

pytestmark = pytest.mark.timeout(120)


def test_the_service_serves_the_page_and_files_what_is_said_there(
    services: Services, root: Path
) -> None:
    port = free_port()
    service = services.start(root, ui_port=port)
    assert service.wait_for("ui.listening")[0]["address"] == f"http://127.0.0.1:{port}/"
    build.put(root, "a.png", photograph(1, build.GREY))
    service.wait_for_filed("inbox/a.png")
    browser = Browser("127.0.0.1", port)
    browser.load()
    (waiting,) = browser.next()["photographs"]
    assert browser.say(waiting, "male").status == 200
    filed_at(root, "male/a.png")
    assert service.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        browser.get("/")


def test_a_page_that_is_killed_is_served_again(services: Services, root: Path) -> None:
    service = services.start(root, ui_port=free_port())
    service.wait_for("ui.listening")
    children = build.children(service.process.pid)
    (page,) = (pid for pid, command in children.items() if "gdwatch.ui.served" in command)
    os.kill(page, signal.SIGKILL)
    service.wait_until(lambda: len(service.events("ui.listening")) == 2, "the page again")
    assert len(service.events("ui.failed")) == 1


def test_where_the_port_is_taken_the_service_says_so_once_and_files(
    services: Services, root: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = services.start(root, ui_port=port)
        (failed,) = service.wait_for("ui.failed")
        assert failed["what"] == f"ui: 127.0.0.1:{port}: address already in use"
        assert failed["hint"] == "set ui_port or ui_host to what is free"
        build.put(root, "a.png", photograph(1))
        service.wait_for_filed("inbox/a.png")
    service.wait_for("ui.listening")
    assert len(service.events("ui.failed")) == 1
