"""The alerts and the dashboard: checked by promtool, and by a Prometheus that scrapes a service."""

import json
import re
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests import build
from tests.build import Services, photograph

TOP = Path(__file__).parents[1]
RULES = TOP / "deploy" / "prometheus-rules.yml"
DASHBOARD = TOP / "deploy" / "grafana-dashboard.json"
METRIC = re.compile(r"\bgdwatch_\w+")

needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="Debian's package prometheus is not installed"
)


def promtool(*words: str | Path) -> str:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def told() -> set[str]:
    """The metrics of docs/metrics.md, which its own test compares with the service's."""
    return set(METRIC.findall((TOP / "docs" / "metrics.md").read_text()))


def family_of(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name)


@needs_prometheus
def test_each_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    promtool("check", "rules", RULES)
    cases = (Path(__file__).parent / "prometheus_rules.yml").read_text()
    (tmp_path / "cases.yml").write_text(cases.replace("RULES", json.dumps(str(RULES))))
    promtool("test", "rules", tmp_path / "cases.yml")


def test_every_alert_has_its_case_and_its_line_in_the_documents() -> None:
    alerts = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    cases = (Path(__file__).parent / "prometheus_rules.yml").read_text()
    page = (TOP / "docs" / "metrics.md").read_text()
    assert set(re.findall(r"alertname: (\w+)", cases)) == alerts
    assert set(re.findall(r"`(Gdwatch\w+)`", page)) == alerts


@pytest.mark.parametrize("file", [RULES, DASHBOARD], ids=lambda file: file.name)
def test_only_metrics_that_there_are_are_asked_for(file: Path) -> None:
    asked = {family_of(name) for name in METRIC.findall(file.read_text())}
    assert len(asked) > 5
    assert asked <= told()


@needs_prometheus
def test_every_question_of_the_dashboard_is_one_of_prometheus(tmp_path: Path) -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    asked = [each["expr"] for panel in dashboard["panels"] for each in panel["targets"]]
    assert len(asked) > 10
    variables = {"$job": "gdwatch", "$instance": ".*", "$__rate_interval": "5m"}
    for name, value in variables.items():
        asked = [each.replace(name, value) for each in asked]
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(asked)]
    # JSON is YAML.
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "a", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "rules.yml")


def test_no_two_panels_of_the_dashboard_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


# ------------------------------------------------------------------------- a real Prometheus


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def in_a_hurry(rules: str) -> str:
    """The same alerts, with seconds instead of minutes before they fire."""
    return re.sub(r"for: \d+[mh]", "for: 2s", rules)


@needs_prometheus
@pytest.mark.timeout(600)
def test_a_real_prometheus_scrapes_a_service_and_tells_of_its_pause_and_its_end(
    services: Services, root: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--long"):
        pytest.skip("takes a minute: in `make test-long`")
    build.put(root, "a.png", photograph(1))
    (root / "inbox" / "link.png").symlink_to("a.png")
    service = services.start(root, metrics_port=0)
    (listening,) = service.wait_for("metrics.listening")
    (tmp_path / "rules.yml").write_text(in_a_hurry(RULES.read_text()))
    job = {"job_name": "gdwatch", "static_configs": [{"targets": [listening["address"]]}]}
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms",
                   "evaluation_interval": "500ms"},
        "rule_files": [str(tmp_path / "rules.yml")],
        "scrape_configs": [job],
    }  # fmt: skip
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    options = {
        "config.file": tmp_path / "prometheus.yml",
        "storage.tsdb.path": tmp_path / "db",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    prometheus = subprocess.Popen(
        ["prometheus", *(f"--{name}={value}" for name, value in options.items())],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def asked(path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=10) as it:
                return json.load(it)["data"]
        except OSError:  # it has not started yet
            return {"result": [], "alerts": []}

    def firing() -> set[str]:
        alerts = asked("alerts")["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    try:
        filed = "query?query=gdwatch_files_filed_total%7Boutcome=%22male%22%7D"
        build.wait_until(
            lambda: [each["value"][1] for each in asked(filed)["result"]] == ["1"], "scraped"
        )
        build.wait_until(lambda: firing() == {"GdwatchFilesSkipped"}, "the link alone is told of")
        (root / "inbox").rename(root / "away")
        build.wait_until(lambda: "GdwatchPaused" in firing(), "the pause is told of")
        assert "GdwatchUnhealthy" not in firing()
        (root / "away").rename(root / "inbox")
        build.wait_until(lambda: firing() == {"GdwatchFilesSkipped"}, "the pause is over")
        assert service.stop() == 0
        build.wait_until(lambda: "GdwatchDown" in firing(), "the end is told of")
    finally:
        prometheus.kill()
        prometheus.wait()
