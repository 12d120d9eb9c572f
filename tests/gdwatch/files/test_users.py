import os
import subprocess
import sys
from pathlib import Path

import pytest

from gdwatch.files import users
from tests import build
from tests.build import photograph
from tests.faults.other_user import closed
from tests.faults.surroundings import skip_unless_allowed

NAMELESS = 12345  # no user here, as in a container that was started with `--user 12345`

AS_NAMELESS = f"""
import sys
from gdwatch import cli
from tests.faults.other_user import become
become({NAMELESS}, sys.argv.pop(1))
cli.main()
"""


@pytest.fixture
def nameless(root: Path, model: Path, tmp_path: Path):
    """How to run a command on the root as a user without a name."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    if closed():
        skip_unless_allowed("unshare", "--mount", "true")
    for folder in (*root.parents, *model.parents):
        if folder.stat().st_mode & 0o777 == 0o700:  # as pytest makes its own
            folder.chmod(0o755)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        names = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME")
        kept = {name: value for name, value in build.environment().items() if name not in names}
        given = build.arguments(root, {"model": model, "min_free_mb": 1})
        return subprocess.run(
            [sys.executable, "-c", AS_NAMELESS, tmp_path, *words, *given],
            capture_output=True, text=True, check=False, env=kept,
        )  # fmt: skip

    return run


def give(*paths: Path) -> None:
    for path in paths:
        os.chown(path, NAMELESS, NAMELESS)


def test_a_user_without_a_name_is_its_number() -> None:
    assert users.name_of(0) == "root"
    assert users.name_of(NAMELESS) == str(NAMELESS)


def test_a_user_without_a_name_corrects_as_its_number(
    root: Path, services: build.Services, nameless
) -> None:
    build.put(root, "a.png", photograph(1))
    assert services.once(root).process.returncode == 0
    give(root, *root.rglob("*"))
    done = nameless("correct", "1", "female")
    assert (done.returncode, done.stderr) == (0, "")
    assert build.query(root, "SELECT label, by FROM corrections") == [
        {"label": "female", "by": str(NAMELESS)}
    ]


@pytest.mark.parametrize("folder", ["male", "."])
def test_a_user_without_a_name_is_told_which_folder_it_cannot_write(
    root: Path, nameless, folder: str
) -> None:
    give(*root.iterdir())
    if folder == ".":
        (root / "male").rmdir()
    else:
        os.chown(root / folder, 0, 0)
    done = nameless("run", "--once")
    assert done.returncode == 78
    assert done.stderr.startswith(f"gdwatch: folder {root / 'male'}: ")
    assert f"make it writable for {NAMELESS}" in done.stderr
    assert "Traceback" not in done.stderr
