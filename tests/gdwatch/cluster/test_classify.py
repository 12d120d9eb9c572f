"""`classify --engine ray` on a real cluster of two nodes: exactly one answer for each picture."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="needs the extra `ray`")

import pyarrow.dataset

from gdwatch.cluster import judge
from gdwatch.cluster.classify import ClusterRun, classify
from gdwatch.errors import ActionNeeded
from tests import build
from tests.build import BRIGHT, DARK, photograph
from tests.gdwatch.cluster.faulty import Faulty, faulty

PICTURES = 120


def answers(files: Any, path: str) -> list[dict[str, Any]]:
    found = pyarrow.dataset.dataset(path, format="parquet", filesystem=files)
    return list(found.to_table().to_pylist())


@pytest.mark.timeout(600)
def test_a_node_is_killed_and_a_run_stopped_and_each_picture_has_one_answer(
    cluster: Any, bucket: Any, tmp_path: Path
) -> None:
    for number in range(PICTURES):
        level = DARK if number % 2 else BRIGHT
        bucket.pipe_file(f"photographs/in/{number % 3}/{number:03}.png", photograph(number, level))
    bucket.pipe_file("photographs/in/0/no picture.png", b"some text")
    settings = build.make_settings(
        build.make_root(tmp_path / "root"), model=str(build.model_file(tmp_path / "a.safetensors"))
    )
    run = ClusterRun(["s3://photographs/in"], "s3://photographs/out", cluster.address, part=5)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classify(settings, run, stop)
    before = answers(bucket, "photographs/out")
    assert 5 <= len(before) < PICTURES

    seen: list[int] = []

    def kill(count: int) -> None:
        seen.append(count)
        if len(seen) == 2:
            cluster.remove_node(cluster.nodes[0], allow_graceful=False)

    totals = classify(settings, run, kill)
    found = answers(bucket, "photographs/out")
    assert sum(seen) == len(found) - len(before) == totals.outcomes.total()
    paths = Counter(each["path"] for each in found)
    assert paths == Counter(f"s3://{path}" for path in bucket.find("photographs/in"))
    outcomes = {each["path"].rpartition("/")[2]: each["outcome"] for each in found}
    assert outcomes.pop("no picture.png") == "rejected"
    assert set(outcomes.values()) == {"female", "male"}
    assert all((outcomes[f"{number:03}.png"] == "male") != number % 2 for number in range(PICTURES))

    bucket.pipe_file("photographs/in/new.png", photograph(1000, DARK))
    assert classify(settings, run, lambda _: None).outcomes == {"female": 1}
    assert len(answers(bucket, "photographs/out")) == PICTURES + 2


@pytest.mark.timeout(600)
def test_a_part_that_the_storage_fails_is_left_for_the_next_run(tmp_path: Path) -> None:
    settings = build.make_settings(
        build.make_root(tmp_path / "root"), model=str(build.model_file(tmp_path / "a.safetensors"))
    )
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.png").write_bytes(photograph(number))
    output = str(tmp_path / "out")
    with faulty(1000) as url:
        run = ClusterRun([f"{url}/a", str(tmp_path / "in")], output, part=1)
        totals = classify(settings, run, lambda _: None)
        assert totals.outcomes == {"male": 3}
        (error,) = totals.failed
        assert f"{url}/a: " in error.message
        Faulty.errors = 0
        totals = classify(settings, run, lambda _: None)
    assert (totals.outcomes, totals.failed) == ({"rejected": 1}, [])
    assert len(answers(None, output)) == 4


@pytest.mark.timeout(600)
def test_a_node_of_another_version_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = build.make_settings(build.make_root(tmp_path / "root"))
    monkeypatch.setattr(judge, "__version__", "0.0.9")  # here; the judge is another process
    with pytest.raises(ActionNeeded, match=r"has gdwatch .*, not 0\.0\.9"):
        classify(settings, ClusterRun([str(tmp_path)], str(tmp_path / "out")), lambda _: None)


def classified(*words: str | Path, cwd: Path) -> str:
    """What the command says that it refuses, in one line."""
    ended = build.gdwatch("classify", *words, cwd=cwd)
    assert ended.returncode in (1, 2)
    (line,) = ended.stderr.splitlines()
    return line


def test_a_cluster_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    given = ("--engine", "ray", "--address", "127.0.0.1:9", "-o", "out", ".")
    assert "Ray cluster at 127.0.0.1:9" in classified(*given, cwd=tmp_path)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--engine", "ray", "."], "-o"),
        (["--engine", "ray", "-o", "out", "-"], "standard input"),
        (["--engine", "ray", "-o", "out", "--format", "csv", "."], "Parquet"),
        (["--address", "a:1", "."], "--engine ray"),
    ],
)
def test_options_that_do_not_go_together_are_named(
    words: list[str], named: str, tmp_path: Path
) -> None:
    assert named in classified(*words, cwd=tmp_path)
