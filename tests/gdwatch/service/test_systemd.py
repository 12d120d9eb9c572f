import socket
from pathlib import Path

import pytest

from gdwatch.service import systemd


def heard(address: str | bytes, monkeypatch: pytest.MonkeyPatch, named: str) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(address)
        channel.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", named)
        systemd.tell("READY=1")
        return channel.recv(100)


def test_systemd_is_told_on_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "notify")
    assert heard(path, monkeypatch, path) == b"READY=1"


def test_an_abstract_socket_is_one_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"gdwatch-test-{tmp_path}"
    assert heard(b"\0" + name.encode(), monkeypatch, f"@{name}") == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify"])
def test_nobody_listening_is_no_failure(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd.tell("READY=1")


@pytest.mark.parametrize(("given", "seconds"), [("30000000", 30.0), ("", None), ("soon", None)])
def test_the_period_of_the_watchdog_is_in_microseconds(
    given: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", given)
    assert systemd.watchdog_s() == seconds
