"""The alerts and the dashboard, checked by promtool; test_alerts_fire.py has a real Prometheus."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

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
