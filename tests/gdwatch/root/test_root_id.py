import os
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
    return root_id.prepare(folders, lambda: opening.has_rows(settings))


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
    with pytest.raises(ActionNeeded, match="root-id: missing, but the ledger has rows"):
        prepare(world.settings, world.folders)
    assert not (world.folders.state / "root-id").exists()


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
