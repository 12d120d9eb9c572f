"""Each alert fires when it should and not before: a real Prometheus scrapes a real service.

Minutes are seconds here (see `in_a_hurry`). The durations themselves are tried by
`promtool test rules`, in test_alerts.py.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import build
from tests.build import GREY, Service, Services, photograph

RULES = Path(__file__).parents[1] / "deploy" / "prometheus-rules.yml"
MOST_ALERTS_TAKE_S = 2

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        shutil.which("prometheus") is None, reason="Debian's package prometheus is not installed"
    ),
]


def in_a_hurry(rules: str) -> str:
    """The same alerts, with seconds instead of minutes, hours and days."""
    rules = re.sub(r"for: \d+[mh]", f"for: {MOST_ALERTS_TAKE_S}s", rules)
    rules = re.sub(r"\[(30m|1h|1d)\]", "[90s]", rules)
    rules, count = re.subn(r"(oldest_waiting_seconds >) 1800\b", r"\1 5", rules)
    assert count == 1
    return rules


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Prometheus:
    """One that asks the port `target` twice a second, and knows the alerts."""

    def __init__(self, folder: Path) -> None:
        self.target = free_port()
        self._port = free_port()
        (folder / "rules.yml").write_text(in_a_hurry(RULES.read_text()))
        static = [{"targets": [f"127.0.0.1:{self.target}"]}]
        config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms",
                       "evaluation_interval": "500ms"},
            "rule_files": [str(folder / "rules.yml")],
            "scrape_configs": [{"job_name": "gdwatch", "static_configs": static}],
        }  # fmt: skip
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        options = {
            "config.file": folder / "prometheus.yml",
            "storage.tsdb.path": folder / "db",
            "web.listen-address": f"127.0.0.1:{self._port}",
        }
        self.process = subprocess.Popen(
            ["prometheus", *(f"--{name}={value}" for name, value in options.items())],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _asked(self, path: str) -> Any:
        try:
            address = f"http://127.0.0.1:{self._port}/api/v1/{path}"
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.load(answer)["data"]
        except OSError:  # it has not started yet
            return {"result": [], "alerts": []}

    def value(self, query: str) -> float:
        """The sum of what a query gives; 0 for nothing."""
        found = self._asked(f"query?{urllib.parse.urlencode({'query': query})}")["result"]
        return sum(float(each["value"][1]) for each in found)

    def look(self) -> None:
        """Let it ask, and judge what it was told, long enough for every alert to fire."""
        seen = 'sum(count_over_time(up{job="gdwatch"}[10m]))'
        before = self.value(seen)
        build.wait_until(lambda: self.value(seen) >= before + 2 * MOST_ALERTS_TAKE_S + 4, "asked")

    def firing(self, name: str = "") -> list[dict[str, str]]:
        """The labels of the alerts that fire, or of those of one name."""
        labels = [each["labels"] for each in self._asked("alerts")["alerts"]
                  if each["state"] == "firing"]  # fmt: skip
        return [each for each in labels if name in ("", each["alertname"])]

    def tells(self, name: str, **labels: str) -> None:
        """Wait until it tells of this alone."""
        build.wait_until(lambda: self.firing(name), f"{name} fires; now: {self.firing()}", 100)
        told = self.firing()
        assert [each["alertname"] for each in told] == [name]
        assert labels.items() <= told[0].items()

    def is_quiet(self) -> None:
        self.look()
        assert self.firing() == []

    def calms_down(self) -> None:
        build.wait_until(lambda: not self.firing(), "no alert fires any more")


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[Prometheus]:
    started = Prometheus(tmp_path)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


@pytest.fixture
def service(services: Services, root: Path, prometheus: Prometheus) -> Service:
    """A service at which everything is well, as Prometheus has seen it."""
    service = services.start(root, metrics_port=prometheus.target)
    service.wait_for("service.ready")
    build.wait_until(lambda: prometheus.value("gdwatch_healthy"), "scraped")
    prometheus.is_quiet()
    return service


def pid_of(service: Service, module: str) -> int:
    """The process that runs a module, one of the service's children."""

    def found() -> list[int]:
        there = build.children(service.process.pid)
        return [pid for pid, runs in there.items() if runs == f"gdwatch.processes.{module}"]

    pid: int = build.wait_until(found, module)[0]
    return pid


def filed(outcome: str) -> str:
    return f'sum(gdwatch_files_filed_total{{outcome="{outcome}"}})'


def drop_and_wait(prometheus: Prometheus, root: Path, files: dict[str, bytes], query: str) -> None:
    """Drop files, and wait until Prometheus has counted them."""
    wanted = prometheus.value(query) + len(files)
    for name, content in files.items():
        build.put(root, name, content)
    build.wait_until(lambda: prometheus.value(query) >= wanted, query)


# ------------------------------------------------------------------------- pages


def test_down(service: Service, prometheus: Prometheus) -> None:
    assert service.stop() == 0
    prometheus.tells("GdwatchDown")


def test_paused(service: Service, prometheus: Prometheus, root: Path) -> None:
    (root / "inbox").rename(root / "away")
    prometheus.tells("GdwatchPaused", reason="inbox_missing")
    (root / "away").rename(root / "inbox")
    prometheus.calms_down()


def test_unhealthy(services: Services, prometheus: Prometheus, root: Path) -> None:
    service = services.start(root, metrics_port=prometheus.target)
    engine = pid_of(service, "engine")
    os.kill(engine, signal.SIGSTOP)  # so the service never comes to the end of its start
    prometheus.tells("GdwatchUnhealthy")
    os.kill(engine, signal.SIGCONT)
    prometheus.calms_down()


def test_backlog_old(service: Service, prometheus: Prometheus, root: Path) -> None:
    engine = pid_of(service, "engine")
    os.kill(engine, signal.SIGSTOP)
    build.put(root, "a.png", photograph(1))
    build.wait_until(lambda: prometheus.value("gdwatch_files_waiting") == 1, "it waits")
    assert prometheus.firing() == []
    prometheus.tells("GdwatchBacklogOld")
    os.kill(engine, signal.SIGCONT)
    prometheus.calms_down()


# ------------------------------------------------------------------------- tickets


def test_disk_low(services: Services, service: Service, prometheus: Prometheus, root: Path) -> None:
    assert service.stop() == 0
    free_mb = shutil.disk_usage(root).free // 2**20
    services.start(root, metrics_port=prometheus.target, min_free_mb=free_mb // 4)

    def names() -> list[str]:
        return [each["alertname"] for each in prometheus.firing()]

    build.wait_until(lambda: names() == ["GdwatchDiskLow"], "alone, once the restart is over")


def test_many_rejected(service: Service, prometheus: Prometheus, root: Path) -> None:
    drop_and_wait(prometheus, root, {f"b{n}.jpg": b"none %d" % n for n in range(15)},
                  filed("rejected"))  # fmt: skip
    prometheus.is_quiet()  # all of them, but few
    drop_and_wait(prometheus, root, {f"{n}.png": photograph(n) for n in range(30)}, filed("male"))
    prometheus.is_quiet()  # many, but less than half of them
    drop_and_wait(prometheus, root, {f"c{n}.jpg": b"never %d" % n for n in range(40)},
                  filed("rejected"))  # fmt: skip
    prometheus.tells("GdwatchManyRejected")


def test_many_unsure(service: Service, prometheus: Prometheus, root: Path) -> None:
    few = {f"{n}.png": photograph(n, GREY) for n in range(70)}
    drop_and_wait(prometheus, root, few, filed("unsure"))
    prometheus.is_quiet()
    more = {f"{n}.png": photograph(n, GREY) for n in range(70, 150)}
    drop_and_wait(prometheus, root, more, filed("unsure"))
    prometheus.tells("GdwatchManyUnsure")


def test_files_skipped(service: Service, prometheus: Prometheus, root: Path) -> None:
    link = root / "inbox" / "link.png"
    link.symlink_to("a.png")
    prometheus.tells("GdwatchFilesSkipped", reason="symlink")
    link.unlink()
    prometheus.calms_down()


def test_moves_stuck(service: Service, prometheus: Prometheus, root: Path) -> None:
    stuck = build.put(root, "a.png", photograph(1))
    if subprocess.run(["chattr", "+i", stuck], check=False).returncode != 0:
        pytest.skip("no file can be made immutable here")
    try:
        prometheus.tells("GdwatchMovesStuck")
    finally:
        subprocess.run(["chattr", "-i", stuck], check=True)
    prometheus.calms_down()


def test_workers_dying(service: Service, prometheus: Prometheus) -> None:
    def kill_one() -> None:
        query = "sum(gdwatch_workers_replaced_total)"
        count = prometheus.value(query)
        os.kill(pid_of(service, "worker"), signal.SIGKILL)
        build.wait_until(lambda: prometheus.value(query) > count, query)

    for _ in range(4):
        kill_one()
    prometheus.is_quiet()
    for _ in range(4):
        kill_one()
    prometheus.tells("GdwatchWorkersDying")


def test_engine_dying(service: Service, prometheus: Prometheus) -> None:
    query = "gdwatch_engines_replaced_total"
    os.kill(pid_of(service, "engine"), signal.SIGKILL)
    build.wait_until(lambda: prometheus.value(query) == 1, query)
    build.wait_until(lambda: prometheus.value("gdwatch_healthy"), "it goes on")
    prometheus.is_quiet()
    os.kill(pid_of(service, "engine"), signal.SIGKILL)
    prometheus.tells("GdwatchEngineDying")


def test_log_dropped(model: Path, prometheus: Prometheus, root: Path) -> None:
    settings = {"model": model, "workers": 1, "metrics_port": prometheus.target, "min_free_mb": 1}
    process = subprocess.Popen(
        [sys.executable, "-m", "gdwatch", "run", *build.arguments(root, settings)],
        env=build.environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        build.wait_until(lambda: prometheus.value("gdwatch_healthy"), "scraped")
        prometheus.is_quiet()
        process.stderr.close()
        drop_and_wait(prometheus, root, {"a.jpg": b"none"}, filed("rejected"))
        prometheus.tells("GdwatchLogDropped")
    finally:
        process.kill()
        process.wait()


def test_each_alert_has_its_test() -> None:
    alerts = re.findall(r"alert: Gdwatch(\w+)", RULES.read_text())
    words = {"test" + re.sub(r"[A-Z]", lambda w: f"_{w[0].lower()}", name) for name in alerts}
    assert len(words) == 12
    assert words <= set(globals())
