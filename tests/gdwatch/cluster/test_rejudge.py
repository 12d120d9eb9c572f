"""`reprocess --engine ray`: a cluster judges, and the ledger gets one result for each file."""

import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="needs the extra `ray`")

from gdwatch.cluster import rejudge
from gdwatch.jobs.rejudge import RejudgeOptions, Rejudging
from tests import build
from tests.build import BRIGHT, DARK, photograph
from tests.gdwatch.conftest import World

FILES = 200


def filed(world: World) -> list[bytes]:
    """Photographs in `unsure/`, half of them with rows."""
    paths = []
    for number in range(FILES):
        path = world.root / "unsure" / f"{number:03}.png"
        path.write_bytes(photograph(number, DARK if number % 2 else BRIGHT))
        paths.append(os.fsencode(path))
    (world.root / "unsure" / "text.png").write_bytes(b"some text")
    return [*paths, os.fsencode(world.root / "unsure" / "text.png")]


@pytest.mark.timeout(600)
def test_a_node_is_killed_and_each_file_has_one_result(
    cluster: Any, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejudge, "_SLICE_FILES", 8)  # so that much is on its way when it is killed
    model = str(build.model_file(tmp_path / "a.safetensors"))
    settings = world.settings.model_copy(update={"model": model})
    paths = filed(world)
    done: list[tuple[bytes, str | None]] = []

    def rejudging() -> Rejudging:
        done.clear()
        options = RejudgeOptions(move=False)
        return Rejudging(
            world.ledger, world.folders, settings, options, lambda *each: done.append(each)
        )

    first = rejudging()
    for number, _ in enumerate(rejudge.over(first, iter(paths), settings, cluster.address)):
        if number == 0:
            cluster.remove_node(cluster.nodes[0], allow_graceful=False)
    assert sorted(done) == sorted((path, None) for path in paths)
    results = build.query(
        world.root,
        "SELECT path, count(*) AS times, max(results.outcome) AS outcome "
        "FROM files JOIN results ON results.file_id = files.id GROUP BY files.id",
    )
    assert len(results) == len(paths)
    assert {row["times"] for row in results} == {1}
    for row in results:
        number = row["path"].removeprefix("unsure/").removesuffix(".png")
        expected = "rejected" if number == "text" else "female" if int(number) % 2 else "male"
        assert row["outcome"] == expected, row

    again = rejudging()
    for _ in rejudge.over(again, iter(paths), settings, cluster.address):
        pass
    assert (again.tally.skipped, again.tally.failed, len(done)) == (len(paths), 0, len(paths))
