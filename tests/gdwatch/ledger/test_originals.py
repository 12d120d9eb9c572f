"""Files that stay in the inbox: filed by a copy or a link, taken again only when they change."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdwatch.intake.backlog import backlog
from gdwatch.intake.inbox import Inbox
from gdwatch.ledger import originals
from gdwatch.ledger.originals import Original
from gdwatch.values import Identity
from tests import build
from tests.gdwatch.conftest import World, world_at
from tests.gdwatch.originals import ready

KEEPING = ("copy", "link")


@pytest.fixture(params=KEEPING)
def keeping(request: pytest.FixtureRequest, root: Path) -> Iterator[World]:
    with world_at(root, mode=request.param) as made:
        yield made


def taken(world: World) -> list[dict[str, Any]]:
    """Let the service judge whatever it would take, and file it; return all rows."""
    drops = [world.judged(world.root / "inbox" / name) for name in ready(world)]
    held = {
        entry.id: judged.opened.descriptor
        for entry, judged in zip(world.record(*drops), drops, strict=False)
    }
    world.file(held)
    return world.rows()


def test_an_original_stays_as_it_is_and_is_filed_under_a_second_name(keeping: World) -> None:
    path = keeping.drop("trip/a.jpg", b"a")
    os.utime(path, ns=(3, 5))
    before = path.stat()
    taken(keeping)
    filed = keeping.root / "male/trip/a.jpg"
    assert (path.read_bytes(), filed.read_bytes()) == (b"a", b"a")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, 5)
    assert filed.stat().st_mtime_ns == 5
    assert (filed.stat().st_ino == before.st_ino) == (keeping.settings.mode == "link")
    assert [(row["state"], row["mode"]) for row in keeping.rows()] == [
        ("filed", keeping.settings.mode)
    ]


def test_an_original_is_not_taken_again(keeping: World) -> None:
    keeping.drop("a.jpg")
    assert len(taken(keeping)) == 1
    assert ready(keeping) == []
    assert len(taken(keeping)) == 1


def test_an_original_that_has_changed_is_taken_as_a_new_file(keeping: World) -> None:
    path = keeping.drop("a.jpg", b"a")
    taken(keeping)
    path.unlink()
    path.write_bytes(b"another")
    assert ready(keeping) == ["a.jpg"]
    assert [row["path"] for row in taken(keeping)] == ["male/a.jpg", "male/a~2.jpg"]
    assert ready(keeping) == []
    assert len(build.query(keeping.root, "SELECT * FROM originals")) == 1


@pytest.mark.parametrize("how", ["rename", "chmod", "backup"])
def test_what_is_changed_but_for_its_bytes_is_no_new_file(root: Path, how: str) -> None:
    with world_at(root, mode="copy") as world:
        path = world.drop("trip/a.jpg", b"a")
        taken(world)
        if how == "rename":
            path = path.rename(path.with_name("b.jpg"))
        elif how == "chmod":
            path.chmod(0o600)
        else:
            status = path.stat()
            path.unlink()
            path.write_bytes(b"a")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert ready(world) == [f"trip/{path.name}"]  # looked at once more, and recognised
        assert len(taken(world)) == 1
        assert ready(world) == []


def test_other_bytes_under_the_same_size_and_time_are_a_new_file(root: Path) -> None:
    with world_at(root, mode="copy") as world:
        path = world.drop("a.jpg", b"a")
        taken(world)
        status = path.stat()
        path.write_bytes(b"b")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert len(taken(world)) == 2
        assert ready(world) == []


def test_a_second_name_that_is_moved_or_removed_disturbs_no_original(root: Path) -> None:
    with world_at(root, mode="link") as world:
        world.drop("a.jpg")
        taken(world)
        (world.root / "male/a.jpg").rename(world.root / "female/a.jpg")
        assert ready(world) == []
        (world.root / "female/a.jpg").unlink()
        assert ready(world) == []


def test_a_crash_before_the_copy_or_after_it_is_finished_once(keeping: World) -> None:
    keeping.record_file("a.jpg", b"a")
    keeping.record_file("b.jpg", b"b")
    # As after a crash between the second and the third step.
    source, filed = keeping.root / "inbox/b.jpg", keeping.root / "male/b.jpg"
    if keeping.settings.mode == "link":
        filed.hardlink_to(source)
    else:
        filed.write_bytes(b"b")
        status = source.stat()
        os.utime(filed, ns=(status.st_atime_ns, status.st_mtime_ns))
    keeping.file()
    assert [row["path"] for row in keeping.rows()] == ["male/a.jpg", "male/b.jpg"]
    assert ready(keeping) == []
    names = ["inbox/a.jpg", "inbox/b.jpg", "male/a.jpg", "male/b.jpg"]
    assert sorted(build.contents(keeping.root)) == names


def test_a_row_of_another_mode_is_finished_as_it_was_recorded(root: Path) -> None:
    with world_at(root) as world:
        world.record_file("a.jpg", b"a", mode="copy")
        world.file()  # a service whose mode is `move` by now
        assert sorted(build.contents(root)) == ["inbox/a.jpg", "male/a.jpg"]
        assert ready(world) == []


def test_an_original_that_changes_before_it_is_copied_is_a_drop_of_its_own(keeping: World) -> None:
    keeping.record_file("a.jpg", b"a")
    (keeping.root / "inbox/a.jpg").write_bytes(b"another")
    keeping.file()
    assert [row["state"] for row in keeping.rows()] == ["missing"]
    assert ready(keeping) == ["a.jpg"]


def test_a_name_that_is_taken_is_never_overwritten(keeping: World) -> None:
    keeping.record_file("a.jpg", b"a")
    (keeping.root / "male/a.jpg").write_bytes(b"theirs")
    keeping.file()
    assert (keeping.root / "male/a.jpg").read_bytes() == b"theirs"
    assert (keeping.root / "male/a~1.jpg").read_bytes() == b"a"


def test_a_copy_goes_to_another_disk_too(root: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if os.stat(elsewhere).st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm and the temporary folder are one file system")
        with world_at(root, mode="copy", male=Path(elsewhere)) as world:
            world.drop("a.jpg", b"a")
            taken(world)
            assert (Path(elsewhere) / "a.jpg").read_bytes() == b"a"
            assert ready(world) == []


def test_thousands_of_originals_are_told_by_one_query(root: Path) -> None:
    with world_at(root, mode="copy") as world:
        drops = [world.judged(world.drop(f"{number}.jpg", b"%d" % number)) for number in range(300)]
        world.record(*drops)
        world.file()
        asked: list[int] = []

        def counted(files: Any) -> set[bytes]:
            asked.append(len(files))
            return originals.unchanged(world.ledger, files)

        assert Inbox(world.folders, world.settings, originals=counted).ready(9, 0.0) == []
        assert asked == [300]
        found = backlog(world.folders, world.settings, originals=counted)
        assert found is not None
        assert (found.files, found.originals) == (0, 300)


big = st.integers(0, 2**64 - 1)


@settings(max_examples=15)
@given(st.lists(st.builds(Identity, big, st.integers(0, 2**40), st.integers(-(2**63), 2**63 - 1),
                          st.integers(-(2**65), 2**65)), max_size=4))  # fmt: skip
def test_any_identity_is_remembered_as_it_is(made: list[Identity]) -> None:
    with tempfile.TemporaryDirectory() as folder, world_at(build.make_root(Path(folder))) as world:
        world.record_file("a.jpg")
        paths = [b"%s/inbox/%d" % (os.fsencode(world.root), n) for n in range(len(made))]
        with world.ledger.writing() as transaction:
            found = [Original(1, path, each) for path, each in zip(paths, made, strict=True)]
            originals.remember(transaction, found)
        files = dict(zip(paths, made, strict=True))
        assert originals.unchanged(world.ledger, files) == set(paths)
        other = {path: Identity(each.inode, each.size_bytes + 1, each.modified_ns, each.changed_ns)
                 for path, each in files.items()}  # fmt: skip
        others = {path for path, each in other.items() if each in made}
        assert originals.unchanged(world.ledger, other) == others
