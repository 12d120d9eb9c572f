"""docs/backup.md, followed word by word: its commands, in its order, on a service that runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import build
from tests.build import BRIGHT, DARK, GREY, Services, photograph
from tests.docs.pages import DOCS, text_of

ROOT, BACKUP = "/var/lib/gdwatch", "/srv/backup"
BLOCKS = re.findall(r"```console\n(.*?)```", text_of(DOCS / "backup.md"), re.DOTALL)


class Follower:
    """Somebody who types what the page says: on a root, and into a backup, of this test."""

    def __init__(self, folder: Path, services: Services) -> None:
        self.root = folder / "gdwatch"
        self.backup = folder / "backup"
        self.backup.mkdir()
        self._services = services
        programs = folder / "bin"
        programs.mkdir()
        self._path = f"{programs}:{build.environment()['PATH']}"
        for name, does in {
            "gdwatch": f'exec {sys.executable} -m gdwatch "$@" --set model={services.model}',
            "chown": "exit 0",  # there is no such user here
        }.items():
            (programs / name).write_text(f"#!/bin/sh\n{does}\n")
            (programs / name).chmod(0o755)

    def type(self, line: str) -> str:
        """Type one line; the service is started and stopped as systemd would."""
        if line == "systemctl stop gdwatch":
            assert self._services.started[-1].stop() == 0
            return ""
        if line == "systemctl start gdwatch":
            self._services.start(self.root).wait_for("service.started")
            return ""
        line = line.replace(ROOT, str(self.root)).replace(BACKUP, str(self.backup))
        done = subprocess.run(
            ["bash", "-c", line], env=build.environment(PATH=self._path), cwd=self.backup,
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stdout + done.stderr)
        return done.stdout


BACKUP_IT, RESTORE, LEDGER_ALONE, PRUNE = (block.splitlines() for block in BLOCKS)
ROWS = "SELECT original_path, path, outcome FROM files WHERE state = 'filed' ORDER BY id"


def backed_up(services: Services, tmp_path: Path) -> tuple[Follower, dict[str, str]]:
    """Follow the first part of the page; returns what lies in the folders, too.

    A photograph comes after the ledger was copied and before the folders are.
    """
    follower = Follower(tmp_path, services)
    root = build.make_root(follower.root)
    for number, level in enumerate((BRIGHT, DARK, GREY)):
        build.put(root, f"trip/{number}.png", photograph(number, level))
    service = services.start(root)
    build.wait_until(lambda: service.events("service.ready"), "ready", deadline_s=180)
    service.wait_for_filed(*(f"inbox/trip/{number}.png" for number in range(3)))
    for line in BACKUP_IT:
        follower.type(line)
        if "db snapshot" in line:
            build.put(root, "late.png", photograph(9, BRIGHT))
            service.wait_for_filed("inbox/late.png")
    return follower, build.contents(root)


def require_all_rows(root: Path) -> None:
    rows = build.query(root, ROWS)
    originals = [row["original_path"] for row in rows]
    assert sorted(originals[:3]) == [f"inbox/trip/{number}.png" for number in range(3)]
    assert [row["path"] for row in rows[3:]] == ["male/late.png"]


@pytest.mark.timeout(400)
def test_the_page_is_followed_word_by_word(services: Services, tmp_path: Path) -> None:
    follower, before = backed_up(services, tmp_path)
    for line in RESTORE:
        follower.type(line)
    assert build.contents(follower.root) == before
    require_all_rows(follower.root)

    said = [follower.type(line) for line in PRUNE]
    assert said[0].startswith("would remove 0 rows")
    assert said[1].startswith("removed 0 rows")
    require_all_rows(follower.root)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_so_is_its_part_on_a_damaged_ledger(services: Services, tmp_path: Path) -> None:
    follower, before = backed_up(services, tmp_path)
    (follower.root / "results.db").write_bytes(b"no database any more" * 500)
    for line in LEDGER_ALONE:
        follower.type(line)
    assert build.contents(follower.root) == before
    require_all_rows(follower.root)
