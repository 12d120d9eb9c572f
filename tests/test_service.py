"""The service from outside: real processes, real signals, real files."""

import contextlib
import json
import os
import pty
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gdwatch.errors import Trouble
from gdwatch.root.folder_handles import Handles
from gdwatch.service import loop as service_module
from gdwatch.service.filer import TOGETHER
from gdwatch.values import Drop, Mode
from tests import build
from tests.build import BRIGHT, DARK, GREY, Service, Services, photograph, sha256, wait_until

ABSURD_MB = 10**9


@pytest.fixture(scope="module")
def many(model: Path) -> Iterator[Services]:
    """Services of this file; the slow one is started first and asked last."""
    with Services(model).ending() as services:
        yield services


@pytest.fixture(scope="module")
def without_space(many: Services, tmp_path_factory: pytest.TempPathFactory) -> Service:
    root = build.make_root(tmp_path_factory.mktemp("full") / "root")
    build.put(root, "a.png", photograph(1))
    return many.start(root, "--once", min_free_mb=ABSURD_MB)


@pytest.fixture(scope="module")
def service(
    many: Services,
    without_space: Service,
    tmp_path_factory: pytest.TempPathFactory,
) -> Service:
    """One service that most tests share, each with names of its own."""
    root = build.make_root(tmp_path_factory.mktemp("shared") / "root")
    build.put(root, "before/early.png", photograph(2))
    started = many.start(root, settle_ms=400)
    started.wait_for("service.ready")
    return started


def filed_once(service: Service, name: str, content: bytes, folder: str = "male") -> None:
    """One row, one file, the same bytes, nothing left."""
    row = service.wait_for_filed(f"inbox/{name}")[f"inbox/{name}"]
    assert (row["path"], row["state"]) == (f"{folder}/{name}", "filed")
    assert row["sha256"] == sha256(content)
    assert (service.root / row["path"]).read_bytes() == content
    assert not (service.root / "inbox" / name).exists()
    assert len([r for r in build.rows(service.root) if r["original_path"] == f"inbox/{name}"]) == 1


def test_a_log_that_cannot_be_written_keeps_no_photograph_from_being_filed(
    many: Services, root: Path
) -> None:
    build.put(root, "a.png", photograph(1))
    build.put(root, "b.png", b"no picture")
    root.with_name(f"{root.name}-{len(many.started)}.log").symlink_to("/dev/full")
    assert many.once(root).process.returncode == 0
    assert {row["path"] for row in build.rows(root)} == {"male/a.png", "rejected/b.png"}
    status = json.loads((root / ".gdwatch" / "status.json").read_text())
    assert status["lines_dropped"] >= 4


def test_a_terminal_that_hangs_up_ends_nothing(root: Path, model: Path) -> None:
    terminal, end = pty.openpty()
    words = build.arguments(root, {"model": model, "settle_ms": 50, "workers": 1, "min_free_mb": 1})
    process = subprocess.Popen(
        ["setsid", "--ctty", sys.executable, "-m", "gdwatch", "run", *words],
        stdin=end, stdout=end, stderr=end, cwd=root.parent, env=build.environment(),
    )  # fmt: skip
    os.close(end)
    try:
        screen = b""
        while b"service.ready" not in screen:
            screen += os.read(terminal, 4096)
        os.close(terminal)
        build.put(root, "after.png", photograph(1))
        wait_until(lambda: [row for row in build.rows(root) if row["filed_at"]], "filed")
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(60) == 0


# ------------------------------------------------------------------------- how files come


def test_what_was_there_before_the_start_is_filed(service: Service) -> None:
    filed_once(service, "before/early.png", photograph(2))


def test_a_copied_file_is_filed(service: Service, tmp_path: Path) -> None:
    (tmp_path / "copied.png").write_bytes(photograph(3))
    shutil.copy(tmp_path / "copied.png", service.root / "inbox")
    filed_once(service, "copied.png", photograph(3))


def test_a_file_moved_in_is_filed(service: Service) -> None:
    build.put(service.root, "moved.png", photograph(4, DARK))
    filed_once(service, "moved.png", photograph(4, DARK), "female")


def test_a_hard_link_is_filed_and_its_other_name_stays(service: Service) -> None:
    elsewhere = service.root / "elsewhere.png"
    elsewhere.write_bytes(photograph(5))
    os.link(elsewhere, service.root / "inbox" / "linked.png")
    filed_once(service, "linked.png", photograph(5))
    assert elsewhere.read_bytes() == photograph(5)


def test_a_file_written_slowly_is_filed_whole(service: Service) -> None:
    content = photograph(6, size=(160, 120))
    with (service.root / "inbox" / "slow.png").open("wb", buffering=0) as file:
        for at in range(0, len(content), 1024):
            file.write(content[at : at + 1024])
            time.sleep(0.01)  # the writer's own pace, far below settle_ms
    filed_once(service, "slow.png", content)


def test_an_upload_that_rests_waits_until_its_writer_has_closed_it(service: Service) -> None:
    content = photograph(77, size=(200, 160))
    aside = service.root / "upload"
    with aside.open("wb") as file:
        file.write(content[:3000])
        file.flush()
        aside.rename(service.root / "inbox" / "resting.png")  # by rename: it need not settle
        (told,) = service.wait_until(
            lambda: [e for e in service.events("inbox.skipped") if "resting" in e["name"]]
        )
        assert told["reason"] == "being_written"
        assert not [r for r in build.rows(service.root) if "resting" in r["original_path"]]
        file.write(content[3000:])
    filed_once(service, "resting.png", content)


def test_an_upload_that_was_rejected_and_is_completed_there_is_judged_again(
    many: Services, root: Path
) -> None:
    content = photograph(78, size=(200, 160))
    build.put(root, "trip/cut.png", content[:3000])
    build.put(root, "touched.png", content[:2000])
    late = photograph(79, size=(200, 160))
    build.put(root, "late.png", late[:2000])
    first = many.start(root)
    first.wait_for_filed("inbox/trip/cut.png", "inbox/touched.png", "inbox/late.png")
    assert first.stop() == 0
    with (root / "rejected" / "trip" / "cut.png").open("ab") as writer:
        writer.write(content[3000:])
    (root / "rejected" / "touched.png").touch()
    second = many.start(root)  # its listing of the answer folders begins at once
    filed = "SELECT name FROM files WHERE state = 'filed' AND outcome = 'male'"
    second.wait_until(lambda: build.query(root, filed))
    (noted,) = second.events("file.judged_again")
    assert (noted["name"].endswith("rejected/trip/cut.png"), noted["reason"]) == (True, "truncated")
    with (root / "rejected" / "late.png").open("ab") as writer:  # a notification tells of it
        writer.write(late[2000:])
    second.wait_until(lambda: len(build.query(root, filed)) == 2)
    assert second.stop() == 0
    rows = {row["name"]: row for row in build.rows(root)}
    assert rows.keys() == {"cut.png", "late.png", "touched.png"}
    assert (rows["cut.png"]["path"], rows["cut.png"]["reason"]) == ("male/trip/cut.png", None)
    assert rows["cut.png"]["sha256"] == sha256(content)
    assert rows["touched.png"]["path"] == "rejected/touched.png"
    assert (root / "male" / "trip" / "cut.png").read_bytes() == content
    decisions = build.query(root, "SELECT file_id, outcome FROM results ORDER BY id")
    by_file = Counter(each["file_id"] for each in decisions)
    assert (by_file[rows["cut.png"]["id"]], by_file[rows["touched.png"]["id"]]) == (2, 1)
    (moved, _) = build.query(root, "SELECT * FROM moves WHERE from_path LIKE 'rejected/%'")
    assert (moved["to_path"], moved["why"]) == ("male/trip/cut.png", "run")


def test_a_file_renamed_from_part_is_filed_under_its_name(service: Service) -> None:
    part = service.root / "inbox" / "renamed.png.part"
    part.write_bytes(photograph(7))
    build.put(service.root, "after-part.png", photograph(8))
    filed_once(service, "after-part.png", photograph(8))
    assert part.read_bytes() == photograph(7)
    part.rename(part.with_suffix(""))
    filed_once(service, "renamed.png", photograph(7))


def test_a_sub_folder_keeps_its_path(service: Service) -> None:
    folder = service.root / "inbox" / "wedding" / "church"
    folder.mkdir(parents=True)
    (folder / "kiss.png").write_bytes(photograph(9))
    filed_once(service, "wedding/church/kiss.png", photograph(9))
    assert folder.is_dir()


def test_a_tree_moved_in_at_one_stroke_is_filed(service: Service) -> None:
    tree = service.root / "aside-tree"
    contents = {f"tree/{n % 3}/{n}.png": photograph(20 + n) for n in range(9)}
    for name, content in contents.items():
        path = tree / name.removeprefix("tree/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    tree.rename(service.root / "inbox" / "tree")
    for name, content in contents.items():
        filed_once(service, name, content)


def test_real_photographs_are_filed_unchanged(service: Service) -> None:
    for name, content in (
        ("grace.jpg", build.grace_hopper()),
        ("astronaut.png", build.astronaut()),
    ):
        build.put(service.root, name, content)
        row = service.wait_for_filed(f"inbox/{name}")[f"inbox/{name}"]
        assert row["outcome"] in ("female", "male", "unsure")
        assert (service.root / row["path"]).read_bytes() == content


def test_while_the_engine_is_busy_batches_are_recorded_together(many: Services, root: Path) -> None:
    for number in range(12):
        build.put(root, f"{number}.png", photograph(number))
    assert many.once(root, batch_size=1).process.returncode == 0
    moments = Counter(row["recorded_at"] for row in build.rows(root))
    assert moments.total() == len(build.query(root, "SELECT * FROM batches")) == 12
    assert 2 <= max(moments.values()) <= TOGETHER
    assert moments[min(moments)] == 1  # the first shows how long it takes


def test_what_the_model_cannot_tell_goes_to_unsure(service: Service) -> None:
    def told() -> int:
        return sum(each.get("low_confidence", 0) for each in service.events("batch.unsure"))

    before = told()
    build.put(service.root, "grey.png", photograph(10, GREY))
    filed_once(service, "grey.png", photograph(10, GREY), "unsure")
    (row,) = build.query(service.root, "SELECT * FROM current_results WHERE name = 'grey.png'")
    assert row["reason"] == "low_confidence"
    assert 0.5 <= row["confidence"] < 0.9
    service.wait_until(lambda: told() == before + 1)
    assert {each["level"] for each in service.events("batch.unsure")} == {"info"}
    assert not service.events("file.unsure")  # of each file only at debug


def test_it_is_ready_only_once_its_model_is_loaded(service: Service) -> None:
    events = [line["event"] for line in service.events()]
    assert events.index("model.loaded") < events.index("service.ready")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("page.jpg", b"<!doctype html><title>404</title>" * 9, "not_an_image"),
        ("cut.png", photograph(11)[:900], "truncated"),
        ("old.ppm", photograph(12, format_="PPM"), "unsupported_format"),
        ("torn.bmp", photograph(13, format_="BMP")[:-900], "truncated"),
    ],
)
def test_a_bad_file_is_rejected_with_its_reason(
    service: Service, name: str, content: bytes, reason: str
) -> None:
    build.put(service.root, name, content)
    filed_once(service, name, content, "rejected")
    (row,) = build.query(service.root, "SELECT * FROM files WHERE name = ?", name)
    assert row["reason"] == reason


def test_a_hostile_name_is_filed_under_the_same_bytes(service: Service) -> None:
    name = b"-rf \xff\n\x1b[31m %s \\x41.png"
    build.put(service.root, name, photograph(14))
    shown = r"inbox/-rf \xff\x0a\x1b[31m %s \\x41.png"
    row = service.wait_for_filed(shown)[shown]
    assert row["path"] == shown.replace("inbox/", "male/")
    target = os.fsencode(service.root) + b"/male/" + name
    assert Path(os.fsdecode(target)).read_bytes() == photograph(14)


def test_a_taken_name_gets_the_id_and_nothing_is_overwritten(service: Service) -> None:
    mine = service.root / "male" / "twin.png"
    mine.write_bytes(b"put here by a person")
    build.put(service.root, "twin.png", photograph(15))
    row = service.wait_for_filed("inbox/twin.png")["inbox/twin.png"]
    assert row["path"] == f"male/twin~{row['id']}.png"
    assert mine.read_bytes() == b"put here by a person"


def test_a_name_used_again_and_again_is_filed_each_time(service: Service) -> None:
    for number in range(3):
        build.put(service.root, "again.png", photograph(30 + number))
        service.wait_until(lambda: not (service.root / "inbox" / "again.png").exists())
    hashes = {sha256(photograph(30 + number)) for number in range(3)}
    service.wait_until(lambda: hashes <= set(build.contents(service.root).values()))
    assert len(list((service.root / "male").glob("again*.png"))) == 3


def test_a_name_like_one_with_an_id_stops_nothing(many: Services, root: Path) -> None:
    service = many.start(root)
    for number, name in enumerate(("a~3.png", "a.png", "a.png"), start=1):
        build.put(root, name, photograph(number))
        service.wait_until(
            lambda number=number: [row["state"] for row in build.rows(root)] == ["filed"] * number
        )
    assert service.stop() == 0, service.log.read_text()
    assert len({path for path in build.contents(root) if path.startswith("male/")}) == 3


def test_a_file_that_cannot_be_moved_has_one_row_however_often_it_is_listed(
    many: Services, root: Path
) -> None:
    stuck = build.put(root, "stuck.png", photograph(1))
    if subprocess.run(["chattr", "+i", stuck], check=False).returncode != 0:
        pytest.skip("chattr +i does not work here")
    try:
        service = many.start(root, rescan_s=0.3)
        service.wait_for("service.ready")
        service.wait_for("file.deferred")
        for number in range(2, 5):  # the inbox is listed again for each of these
            build.put(root, f"{number}.png", photograph(number))
            service.wait_for_filed(f"inbox/{number}.png")
        assert [row["name"] for row in build.rows(root)].count("stuck.png") == 1
    finally:
        subprocess.run(["chattr", "-i", stuck], check=True)
    service.wait_for_filed("inbox/stuck.png")
    assert service.stop() == 0


# ------------------------------------------------------------------------- how services end


def nothing_is_lost(root: Path, contents: dict[str, bytes]) -> None:
    found = build.contents(root)
    assert Counter(found.values()) == Counter(sha256(each) for each in contents.values())
    assert build.waiting(root) == []
    table = build.rows(root)
    assert sorted(row["original_path"] for row in table) == sorted(contents)
    for row in table:
        assert row["state"] == "filed"
        assert found[row["path"]] == row["sha256"] == sha256(contents[row["original_path"]])


def drop_many(root: Path, count: int) -> dict[str, bytes]:
    contents = {
        f"inbox/{number}.png": photograph(number, (DARK, BRIGHT, GREY)[number % 3])
        for number in range(count - 1)
    }
    contents["inbox/broken.jpg"] = b"no photograph"
    for name, content in contents.items():
        build.put(root, name.removeprefix("inbox/"), content)
    return contents


def test_a_stopped_service_loses_nothing_and_the_next_one_finishes(
    many: Services, root: Path
) -> None:
    contents = drop_many(root, 300)
    service = many.start(root, batch_size=2)
    service.wait_until(lambda: len(build.waiting(root)) < 290)
    assert service.stop() == 0
    left = build.waiting(root)
    assert left, "the stop came too late to be in the middle"
    assert sorted(row["original_path"] for row in build.rows(root)) == sorted(
        contents.keys() - set(left)
    )
    assert {row["state"] for row in build.rows(root)} == {"filed"}
    assert not list(root.glob("results.db-*"))
    assert many.once(root).process.returncode == 0
    nothing_is_lost(root, contents)


@pytest.mark.parametrize("rows_before_the_kill", [1, 7, 40])
def test_a_killed_service_loses_nothing_and_the_next_one_finishes(
    many: Services, root: Path, rows_before_the_kill: int
) -> None:
    contents = drop_many(root, 60)
    service = many.start(root, batch_size=3)
    service.wait_until(lambda: len(build.rows(root)) >= rows_before_the_kill)
    assert service.stop(signal.SIGKILL) == -signal.SIGKILL
    assert many.once(root).process.returncode == 0
    nothing_is_lost(root, contents)


def test_a_second_service_on_the_same_root_ends_with_75(
    service: Service, many: Services, model: Path
) -> None:
    second = build.gdwatch(
        "run", "--once", *build.arguments(service.root, {"model": model}), cwd=service.root.parent
    )
    assert second.returncode == 75
    assert "another gdwatch holds this root" in second.stderr
    assert str(service.process.pid) in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1


def test_an_interrupt_ends_it_as_a_stop_does(many: Services, root: Path) -> None:
    service = many.start(root)
    service.wait_for("service.ready")
    assert service.stop(signal.SIGINT) == 0


def test_children_end_with_a_killed_service(many: Services, root: Path) -> None:
    service = many.start(root, workers=2)
    service.wait_for("service.ready")
    build.wait_until(lambda: len(build.descendants(service.process.pid)) == 4)
    pids = build.descendants(service.process.pid)
    assert sorted(pids.values()) == 2 * ["gdwatch.processes.engine"] + 2 * [
        "gdwatch.processes.worker"
    ]
    service.stop(signal.SIGKILL)
    wait_until(lambda: not any(map(build.is_alive, pids)))


def test_an_engine_that_cannot_fork_stops_the_start_with_what_to_do(
    many: Services, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, os\n"
        "def fork():\n"
        "    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))\n"
        "os.fork = fork\n"
    )
    build.put(root, "a.png", photograph(1))
    env = build.environment(PYTHONPATH=str(tmp_path))
    service = many.start(root, workers=2, env=env)
    assert service.process.wait(60) == 78
    lines = [line for line in service.log.read_text().splitlines() if line.startswith("gdwatch:")]
    assert lines == [
        "gdwatch: the engine cannot fork: Resource temporarily unavailable; "
        "allow more processes or memory, or set `workers` lower"
    ]
    assert build.rows(root) == []
    assert build.waiting(root) == ["inbox/a.png"]


def test_workers_that_cannot_start_reject_nothing(
    many: Services, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "simplejpeg.py").write_text("raise ImportError('a broken installation')")
    build.put(root, "a.png", photograph(1))
    service = many.start(root, "--once", env=build.environment(PYTHONPATH=str(tmp_path)))
    assert service.process.wait(60) != 0  # as with an engine that keeps dying
    assert build.rows(root) == []
    assert build.waiting(root) == ["inbox/a.png"]


# ------------------------------------------------------------------------- models


def test_a_hangup_takes_a_new_model_and_keeps_the_old_one_where_the_new_is_bad(
    many: Services, root: Path, tmp_path: Path
) -> None:
    path = build.model_file(tmp_path / "m.safetensors")
    good = path.read_bytes()
    service = many.start(root, model=path)
    service.wait_for("service.ready")

    path.write_bytes(good[:-100])
    service.process.send_signal(signal.SIGHUP)
    service.wait_for("model.refused")
    build.put(root, "old.png", photograph(1))
    assert service.wait_for_filed("inbox/old.png")["inbox/old.png"]["outcome"] == "male"

    build.model_file(path, slope=-30.0, name="contrary", version="2")
    service.process.send_signal(signal.SIGHUP)
    service.wait_for("service.reloaded")
    build.put(root, "new.png", photograph(2))
    assert service.wait_for_filed("inbox/new.png")["inbox/new.png"]["outcome"] == "female"
    assert service.stop() == 0
    named = build.query(root, "SELECT name, model FROM current_results ORDER BY id")
    assert [tuple(row.values()) for row in named] == [
        ("old.png", "brightness 1"),
        ("new.png", "contrary 2"),
    ]


# ------------------------------------------------------------------------- 78: a person must act


def refused(root: Path, model: Path, *words: str, env: dict[str, str] | None = None,
            **settings: object) -> str:  # fmt: skip
    """The one line that a start which is refused leaves behind; the drop stays where it was."""
    build.put(root, "stays.png", photograph(1))
    given = build.arguments(root, {"model": model, **settings})
    ended = build.gdwatch("run", "--once", *words, *given, cwd=root.parent, env=env)
    assert ended.returncode == 78, ended.stderr
    assert "Traceback" not in ended.stderr
    assert (root / "inbox" / "stays.png").exists()
    (line,) = [each for each in ended.stderr.splitlines() if each.startswith("gdwatch: ")]
    return line


def test_an_unknown_setting_stops_the_start(root: Path, model: Path) -> None:
    line = refused(root, model, "--set=setle_ms=5")
    assert line == "gdwatch: unknown setting setle_ms (command line); did you mean settle_ms?"


def test_a_bad_value_stops_the_start(root: Path, model: Path) -> None:
    line = refused(root, model, env=build.environment(GDWATCH_MIN_CONFIDENCE="2"))
    assert "min_confidence = '2' (environment)" in line


def test_a_missing_model_stops_the_start(root: Path, tmp_path: Path) -> None:
    assert "no such file" in refused(root, tmp_path / "none.safetensors")


def test_a_damaged_model_stops_the_start(root: Path, tmp_path: Path) -> None:
    path = build.model_file(tmp_path / "m.safetensors")
    path.write_bytes(path.read_bytes()[:-10])
    assert f"model {path}: not a whole safetensors file" in refused(root, path)


def test_a_model_that_its_engine_refuses_stops_the_start(root: Path, tmp_path: Path) -> None:
    wrong = {"arch": "residual", "arguments": {"stem": 8, "widths": [8], "blocks": [1]}}
    path = build.model_file(tmp_path / "m.safetensors", classifier={**wrong, "input": 32})
    assert "has shape" in refused(root, path)


def test_a_root_that_cannot_be_written_stops_the_start(tmp_path: Path, model: Path) -> None:
    parent = tmp_path / "closed"
    parent.mkdir()
    if subprocess.run(["chattr", "+i", parent], check=False).returncode != 0:
        pytest.skip("chattr +i does not work here")
    try:
        ended = build.gdwatch(
            "run", *build.arguments(parent / "root", {"model": model}), cwd=tmp_path
        )
    finally:
        subprocess.run(["chattr", "-i", parent], check=True)
    assert ended.returncode == 78, ended.stderr
    assert str(parent) in ended.stderr


@pytest.fixture(scope="module")
def pattern(many: Services, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root whose ledger has one row, its service ended; to be copied."""
    root = build.make_root(tmp_path_factory.mktemp("filed") / "root")
    build.put(root, "first.png", photograph(2))
    assert many.once(root).process.returncode == 0
    return root


@pytest.fixture
def filed(pattern: Path, tmp_path: Path) -> Path:
    """A copy of that root: its paths are relative, so it works wherever it lies."""
    return Path(shutil.copytree(pattern, tmp_path / "filed"))


def test_a_newer_database_stops_the_start(filed: Path, model: Path) -> None:
    with sqlite3.connect(filed / "results.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = sha256((filed / "results.db").read_bytes())
    assert "version 9999 is newer than this gdwatch" in refused(filed, model)
    assert sha256((filed / "results.db").read_bytes()) == before


def test_another_programs_database_stops_the_start(root: Path, model: Path) -> None:
    with sqlite3.connect(root / "results.db") as connection:
        connection.execute("CREATE TABLE recipes (id INTEGER)")
    connection.close()
    before = sha256((root / "results.db").read_bytes())
    assert "another program's" in refused(root, model)
    assert sha256((root / "results.db").read_bytes()) == before


def test_a_file_that_is_no_database_stops_the_start(root: Path, model: Path) -> None:
    (root / "results.db").write_bytes(b"no database " * 1000)
    assert "is corrupt or no database" in refused(root, model)
    assert (root / "results.db").read_bytes() == b"no database " * 1000


@pytest.mark.parametrize("marker", [None, "00000000-0000-4000-8000-000000000000\n"])
def test_a_missing_or_other_root_id_stops_the_start_where_the_ledger_has_rows(
    filed: Path, model: Path, marker: str | None
) -> None:
    path = filed / ".gdwatch" / "root-id"
    path.unlink() if marker is None else path.write_text(marker)
    assert "root-id" in refused(filed, model)


def test_a_database_replaced_while_in_use_ends_the_service(many: Services, root: Path) -> None:
    service = many.start(root)
    service.wait_for("service.ready")
    (root / "results.db").rename(root / "away.db")
    (root / "results.db").write_bytes(b"")
    build.put(root, "stays.png", photograph(1))
    assert service.process.wait(60) == 78, service.log.read_text()
    assert (root / "inbox" / "stays.png").exists()
    assert "was removed or replaced while in use" in service.log.read_text()


# ------------------------------------------------------------------------- pauses


def test_a_missing_inbox_pauses_until_it_is_back(many: Services, root: Path) -> None:
    service = many.start(root)
    service.wait_for("service.ready")
    (root / "inbox").rename(root / "unmounted")
    assert service.wait_for("service.paused")[0]["reason"] == "inbox_missing"
    assert not (root / "inbox").exists()
    (root / "unmounted").rename(root / "inbox")
    service.wait_for("service.resumed")
    build.put(root, "a.png", photograph(1))
    service.wait_for_filed("inbox/a.png")
    assert service.stop() == 0


def test_a_root_whose_mark_is_gone_pauses_and_one_with_another_mark_ends_it(
    many: Services, root: Path
) -> None:
    service = many.start(root)
    service.wait_for("service.ready")
    (root / ".gdwatch").rename(root / "away")
    (root / "male").rmdir()
    build.put(root, "a.png", photograph(1))
    service.wait_until(
        lambda: "root_missing" in [each["reason"] for each in service.events("service.paused")]
    )
    assert not (root / "male").exists()
    (root / "away").rename(root / ".gdwatch")
    service.wait_for_filed("inbox/a.png")
    (root / ".gdwatch" / "root-id").write_text("00000000-0000-4000-8000-000000000000\n")
    assert service.process.wait(60) == 78
    assert "became another root" in service.log.read_text()


def test_drops_that_an_outage_kept_from_being_opened_are_found_again(
    root: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        build.put(root, f"{number}.png", photograph(number))
    outages = [Trouble("inbox_missing", "unmounted just now")]
    open_drop = service_module.open_drop

    def opened(drop: Drop, handles: Handles, mode: Mode) -> object:
        if outages:
            raise outages.pop()
        return open_drop(drop, handles, mode)

    monkeypatch.setattr(service_module, "open_drop", opened)
    settings = build.make_settings(root, model=str(model), workers=1, min_free_mb=1)
    assert service_module.run(settings, once=True) == 0
    assert [row["state"] for row in build.rows(root)] == ["filed"] * 3


def test_a_locked_database_pauses_until_it_is_free(many: Services, root: Path) -> None:
    service = many.start(root)
    service.wait_for("service.ready")
    connection = sqlite3.connect(root / "results.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    build.put(root, "a.png", photograph(1))
    assert service.wait_for("service.paused")[0]["reason"] == "database_busy"
    assert (root / "inbox" / "a.png").exists()
    connection.execute("ROLLBACK")
    connection.close()
    service.wait_for_filed("inbox/a.png")
    assert len(build.rows(root)) == 1
    assert service.stop() == 0


def test_a_stop_while_the_database_is_locked_is_a_clean_one(many: Services, root: Path) -> None:
    service = many.start(root)
    service.wait_for("service.ready")
    connection = sqlite3.connect(root / "results.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    build.put(root, "a.png", photograph(1))
    service.wait_for("service.paused")
    assert service.stop() == 0, service.log.read_text()
    connection.close()
    assert build.waiting(root) == ["inbox/a.png"]
    assert build.rows(root) == []


# ------------------------------------------------------------------------- systemd, status, once


def test_systemd_hears_that_it_is_ready_and_alive_and_stopping(
    many: Services, root: Path, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(60)
        env = build.environment(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="400000")
        service = many.start(root, env=env)
        heard = set()
        while not {b"READY=1", b"WATCHDOG=1"} <= heard:
            heard.add(channel.recv(100))
        build.put(root, "a.png", photograph(1))
        service.wait_for_filed("inbox/a.png")
        assert service.stop() == 0
        while b"STOPPING=1" not in heard:
            heard.add(channel.recv(100))


def test_a_log_line_is_json_with_time_level_and_event(service: Service) -> None:
    lines = service.events()
    assert len(lines) == len(service.log.read_text().splitlines())
    assert all({"timestamp", "level", "event"} <= line.keys() for line in lines)


def test_a_person_at_the_terminal_is_told_where_to_begin_and_what_was_filed(
    model: Path, root: Path
) -> None:
    build.put(root, "a.png", photograph(1))
    screen, keyboard = pty.openpty()
    words = build.arguments(root, {"model": model, "settle_ms": 50, "workers": 1})
    process = subprocess.Popen(
        [sys.executable, "-m", "gdwatch", "run", *words],
        stdin=keyboard, stdout=keyboard, stderr=keyboard,
        env=build.environment(NO_COLOR="1"), cwd=root.parent, start_new_session=True,
    )  # fmt: skip
    os.close(keyboard)
    shown = b""
    with contextlib.closing(os.fdopen(screen, "rb", buffering=0)) as stream:
        while b" filed: " not in shown:
            shown += stream.read(4096)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # EIO: the last process has closed the terminal
            while more := stream.read(4096):
                shown += more
    assert process.wait(60) == 0
    text = shown.decode()
    assert text.index("drop photographs    root/inbox/") < text.index("service.started")
    assert text.count("1 filed: 1 male") == 1
    assert "\x1b" not in text


def test_once_waits_while_the_disk_is_full_and_then_gives_up(without_space: Service) -> None:
    assert without_space.process.wait(100) == 1
    paused = without_space.events("service.paused")
    assert [each["reason"] for each in paused] == ["disk_low"]
    assert (without_space.root / "inbox" / "a.png").exists()
    assert build.rows(without_space.root) == []
