import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gdwatch.errors import ActionNeeded
from gdwatch.ledger import opening
from gdwatch.root import root_id
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import OUTCOMES
from tests import build
from tests.gdwatch.conftest import World


def prepare(settings: Settings, folders: Folders) -> str:
    root_id.make_state(folders, lambda: opening.has_rows(settings))
    return root_id.prepare(folders)


def at(path: Path, **others: object) -> tuple[Settings, Folders]:
    folders, settings = build.folders_of(path, **others)
    return settings, folders


def test_the_first_start_makes_the_folders_and_the_id(tmp_path: Path) -> None:
    settings, folders = at(tmp_path / "new" / "root")
    found = prepare(settings, folders)
    assert root_id.read_id(folders) == found
    for name in ("inbox", *OUTCOMES):
        assert (tmp_path / "new" / "root" / name).is_dir()
    assert os.listdir(folders.state) == ["root-id"]


def test_the_id_is_durable_before_any_row_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, folders = at(tmp_path / "root")
    found = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        found.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    prepare(settings, folders)
    assert found == ["root-id.part", ".gdwatch"]


def test_the_id_stays(tmp_path: Path) -> None:
    settings, folders = at(tmp_path / "root")
    assert prepare(settings, folders) == prepare(settings, folders)


def test_a_later_start_makes_an_answer_folder_but_no_inbox(tmp_path: Path) -> None:
    settings, folders = at(tmp_path / "root")
    prepare(settings, folders)
    (tmp_path / "root" / "inbox").rmdir()
    (tmp_path / "root" / "male").rmdir()
    prepare(settings, folders)
    assert (tmp_path / "root" / "male").is_dir()
    assert not (tmp_path / "root" / "inbox").exists()


def test_an_id_that_is_missing_stops_the_start_where_the_ledger_has_rows(world: World) -> None:
    world.record_file("a.jpg")
    world.folders.state.rmdir()
    (world.root / "unsure").rmdir()
    with pytest.raises(ActionNeeded, match="root-id: missing, but the ledger has rows"):
        prepare(world.settings, world.folders)
    assert not world.folders.state.exists()
    assert not (world.root / "unsure").exists()


def test_an_id_that_is_missing_is_made_where_the_ledger_is_empty(world: World) -> None:
    assert not opening.has_rows(world.settings)
    prepare(world.settings, world.folders)


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "root").write_bytes(b"")
    settings, folders = at(tmp_path / "root")
    with pytest.raises(ActionNeeded, match=r"folder .*root.*: not a directory; make it writable"):
        prepare(settings, folders)


def test_a_folder_that_is_no_root_is_named(tmp_path: Path) -> None:
    _, folders = at(tmp_path)
    with pytest.raises(ActionNeeded, match="no root of gdwatch"):
        root_id.read_id(folders)


def test_a_root_of_another_user_is_refused(tmp_path: Path) -> None:
    settings, folders = at(tmp_path / "root")
    root_id.require_own(folders)
    prepare(settings, folders)
    root_id.require_own(folders)
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    os.chown(folders.state, 65534, 65534)
    with pytest.raises(ActionNeeded, match="you are another user; run it as that user: sudo -u"):
        root_id.require_own(folders)
    os.chown(folders.state, 54321, 54321)  # a user without a name
    with pytest.raises(ActionNeeded, match="belongs to 54321"):
        root_id.require_own(folders)


# Imports once, and then starts two services on each root, forked and let go at the same moment;
# ends the one that serves once the other has ended.
TWO_STARTS = """
import os, pathlib, signal, sys, time
from gdwatch import cli
from gdwatch.service import loop

def start(root, log, barrier):
    os.read(barrier, 1)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 2)
    sys.argv = ["gdwatch", "run", f"--root={root}", *sys.argv[2:]]
    cli.main()

for root in sys.argv[1].split(":"):
    barrier, gate = os.pipe()
    logs = {}
    for number in range(2):
        log = pathlib.Path(f"{root}-{number}.log")
        if (pid := os.fork()) == 0:
            os.close(gate)
            start(root, log, barrier)
        logs[pid] = log
    os.close(barrier)
    os.close(gate)
    ended, status = os.wait()
    loser = logs.pop(ended)
    ((winner, log),) = logs.items()
    while "service.started" not in log.read_text() and not os.waitpid(winner, os.WNOHANG)[0]:
        time.sleep(0.01)
    os.kill(winner, signal.SIGTERM)
    _, other = os.wait()
    statuses = map(os.waitstatus_to_exitcode, (status, other))
    print(*statuses, loser.read_text().strip())
"""


def test_of_two_first_starts_at_once_one_serves_and_the_other_says_so(
    tmp_path: Path, model: Path
) -> None:
    roots = [tmp_path / f"root-{number}" for number in range(10)]
    given = [f"--set=model={model}", "--set=workers=1", "--set=min_free_mb=1"]
    names = ":".join(map(str, roots))
    told = subprocess.run(
        [sys.executable, "-c", TWO_STARTS, names, *given], capture_output=True, check=True,
        text=True, env=build.environment(),
    ).stdout.splitlines()  # fmt: skip
    for root, line in zip(roots, told, strict=True):
        assert re.fullmatch(
            rf"75 0 gdwatch: {root}: another gdwatch holds this root \(process (\d+|\?)\); "
            "use the one that runs, or stop it first",
            line,
        )
