"""`/metrics` and `/healthz` of a running service, asked over HTTP as Prometheus does."""

import contextlib
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gdwatch.errors import ActionNeeded
from gdwatch.service import metrics_server
from tests import build
from tests.build import BRIGHT, GREY, Service, Services, photograph
from tests.docs.pages import DOCS, code, rows, section, text_of

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def url_of(service: Service) -> str:
    (listening,) = service.wait_for("metrics.listening")
    return f"http://{listening['address']}"


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def samples(service: Service) -> Samples:
    """Every sample by its name and labels."""
    status, text = get(url_of(service) + "/metrics")
    assert status == 200
    return {
        (each.name, frozenset(each.labels.items())): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def value(service: Service, name: str, **labels: str) -> float:
    return samples(service)[(name, frozenset(labels.items()))]


@pytest.fixture(scope="module")
def many(model: Path) -> Iterator[Services]:
    with Services(model).ending() as services:
        yield services


@pytest.fixture(scope="module")
def service(many: Services, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A service that has filed one photograph of each kind, and left a link where it is."""
    root = build.make_root(tmp_path_factory.mktemp("measured") / "root")
    build.put(root, "bright.png", photograph(1, BRIGHT))
    build.put(root, "grey.png", photograph(2, GREY))
    build.put(root, "text.jpg", b"no picture")
    (root / "inbox" / "link.png").symlink_to("elsewhere.png")
    started = many.start(root, metrics_port=0)
    started.wait_for_filed("inbox/bright.png", "inbox/grey.png", "inbox/text.jpg")
    return started


def test_what_was_filed_is_counted_by_outcome_and_reason(service: Service) -> None:
    filed = {
        tuple(dict(labels).values()): count
        for (name, labels), count in samples(service).items()
        if name == "gdwatch_files_filed_total"
    }
    by_key = {frozenset(key): count for key, count in filed.items() if count}
    assert by_key == {
        frozenset(("male", "")): 1,
        frozenset(("unsure", "low_confidence")): 1,
        frozenset(("rejected", "not_an_image")): 1,
    }
    assert len(filed) > 15  # all others are there, as zeros
    assert value(service, "gdwatch_filing_seconds_count") == 3
    assert value(service, "gdwatch_confidence_ratio_count") == 2
    assert value(service, "gdwatch_stage_seconds_count", stage="read") == 3
    for stage in ("classify", "record", "move"):
        assert 1 <= value(service, "gdwatch_stage_seconds_count", stage=stage) <= 3


def test_the_model_and_the_program_are_named(service: Service) -> None:
    (model,) = [dict(labels) for name, labels in samples(service) if name == "gdwatch_model_info"]
    assert (model["name"], model["version"], model["device"]) == ("brightness", "1", "cpu")
    assert len(model["sha256"]) == 64


def test_what_a_person_moves_by_a_command_is_counted_too(service: Service, tmp_path: Path) -> None:
    given = build.arguments(service.root, {})
    done = build.gdwatch("correct", "unsure/grey.png", "female", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    service.wait_until(
        lambda: value(service, "gdwatch_files_filed_total", outcome="female", reason="") == 1
    )


def test_what_has_to_stay_is_counted_by_reason_and_does_not_wait(service: Service) -> None:
    assert value(service, "gdwatch_files_skipped", reason="symlink") == 1
    assert value(service, "gdwatch_files_waiting") == 0
    assert value(service, "gdwatch_oldest_waiting_seconds") == 0


def test_the_table_of_metrics_in_the_documents_is_that_of_the_service(service: Service) -> None:
    _, text = get(url_of(service) + "/metrics")
    suffixes = {"counter": "_total"}
    page = text_of(DOCS / "metrics.md")
    table = {code(row[0])[0]: (code(row[1]), row[2]) for row in rows(section(page, "All metrics"))}
    served = [
        each for each in text_string_to_metric_families(text) if each.name.startswith("gdwatch_")
    ]
    names = [each.name + suffixes.get(each.type, "") for each in served]
    assert sorted(names) == sorted(table)
    for name, family in zip(names, served, strict=True):
        labels, words = table[name]
        assert family.documentation == words
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(labels), name


def test_a_worker_that_dies_is_counted(service: Service) -> None:
    assert value(service, "gdwatch_workers_replaced_total", reason="died") == 0
    assert value(service, "gdwatch_engines_replaced_total") == 0
    workers = [
        pid
        for pid, module in build.descendants(service.process.pid).items()
        if module == "gdwatch.processes.worker"
    ]
    subprocess.run(["kill", "-9", str(workers[0])], check=True)
    service.wait_until(lambda: value(service, "gdwatch_workers_replaced_total", reason="died") == 1)


def test_a_healthy_service_says_so(service: Service) -> None:
    service.wait_for("service.ready")
    assert get(url_of(service) + "/healthz") == (200, "ok\n")
    assert value(service, "gdwatch_healthy") == 1
    assert get(url_of(service) + "/other")[0] == 404


def test_a_client_that_says_nothing_keeps_nobody_waiting_for_long(service: Service) -> None:
    host, _, port = url_of(service).removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))):
        assert get(url_of(service) + "/healthz")[0] == 200
    assert "Traceback" not in service.log.read_text()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_the_metrics_follow_the_rules_of_prometheus(service: Service) -> None:
    _, text = get(url_of(service) + "/metrics")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_a_paused_service_says_why_and_is_well_again_after(many: Services, root: Path) -> None:
    service = many.start(root, metrics_port=0)
    service.wait_for("service.ready")
    (root / "inbox").rename(root / "away")
    service.wait_for("service.paused")
    status, words = get(url_of(service) + "/healthz")
    assert status == 503
    assert "inbox_missing" in words
    found = samples(service)
    assert found[("gdwatch_healthy", frozenset())] == 0
    paused = frozenset({("reason", "inbox_missing")})
    assert found[("gdwatch_paused", paused)] == 1
    assert ("gdwatch_files_waiting", frozenset()) not in found
    (root / "away").rename(root / "inbox")
    service.wait_for("service.resumed")
    service.wait_until(lambda: get(url_of(service) + "/healthz")[0] == 200)
    found = samples(service)
    assert found[("gdwatch_paused", paused)] == 0
    assert found[("gdwatch_paused_seconds_total", paused)] > 0
    assert service.stop() == 0


def test_a_port_in_use_is_one_line_that_names_the_settings(many: Services, root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = many.start(root, "--once", metrics_port=port)
        assert refused.process.wait(60) == 78
    assert refused.log.read_text() == (
        f"gdwatch: metrics_host 127.0.0.1, metrics_port {port}: address already in use; "
        "set them to a free port and an address of this machine\n"
    )


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 70, "::1::"])
def test_an_address_that_is_not_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(ActionNeeded, match=f"metrics_host {host}, metrics_port 0: \\w"):
        metrics_server.bound(host, 0)


def test_an_address_of_version_6_may_be_given() -> None:
    server = metrics_server.bound("::1", 0)
    with contextlib.closing(server.socket):
        assert server.server_address[0] == "::1"
