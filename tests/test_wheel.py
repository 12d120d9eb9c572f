"""What is installed is whole, and works wherever and by whomever it is called."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import build

TOP = Path(__file__).parent.parent
STRANGER = 54321  # has no name and no home


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    code = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, folder], cwd=TOP, capture_output=True, text=True, check=True
    )
    return folder / done.stdout.split()[-1]


def test_the_wheel_holds_all_that_is_needed(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    assert {
        "gdwatch/__main__.py",
        "gdwatch/py.typed",
        "gdwatch/service/loop.py",
        "gdwatch/migrations/env.py",
        "gdwatch/migrations/versions/0001_make_ledger.py",
        "gdwatch/models/MODEL_CARD.md",
        "gdwatch/models/WHOLE_MODEL_CARD.md",
        "gdwatch/models/accurate.safetensors",
        "gdwatch/models/fast.safetensors",
        "gdwatch/models/whole.safetensors",
        "train/__main__.py",
        "train/detection/locator.toml",
        "train/pages/report.html",
        "train/py.typed",
        "train/recipes/default.toml",
    } <= names
    assert not [name for name in names if name.startswith("tests/")]


class Stranger:
    """A user without a name, a home or UTF-8, in a folder that he may not read."""

    def __init__(self, place: Path) -> None:
        place.chmod(0o755)
        self._closed = place / "closed"
        self._closed.mkdir(mode=0o700)

    def call(self, *words: str | Path | bytes) -> str:
        """Return what a program prints; it must not complain."""
        done = subprocess.run(
            words, cwd=self._closed, user=STRANGER, group=STRANGER, extra_groups=[], umask=0o077,
            env={"PATH": os.defpath, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
            capture_output=True, timeout=100, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout.decode()

    def interpreter(self) -> str:
        """Return one of this version that he may start, or skip."""
        name = f"python{sys.version_info.major}.{sys.version_info.minor}"
        for path in (sys.executable, f"/usr/bin/{name}"):
            with contextlib.suppress(AssertionError, OSError):
                self.call(path, "-c", "")
                return path
        pytest.skip(f"other users may start no {name}")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users may enter, as they may not into those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def install(wheel: Path, place: Path, interpreter: str) -> Path:
    """Make an environment of the wheel, and of packages that are lent; return its programs."""
    subprocess.run([interpreter, "-m", "venv", "--without-pip", place / "installed"], check=True)
    programs = place / "installed" / "bin"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet",
         "--no-deps", "--no-compile", "--no-index", wheel], check=True,
    )  # fmt: skip
    (site,) = (place / "installed" / "lib").glob("python3*/site-packages")
    # As a path only: what is installed there by reference, as this tree may be, does not count.
    lent = [path for path in sys.path if path.endswith("site-packages")]
    (site / "lent.pth").write_text("\n".join(lent))
    return programs


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_the_wheel_works_for_anybody_anywhere(wheel: Path, place: Path) -> None:
    stranger = Stranger(place)
    programs = install(wheel, place, stranger.interpreter())
    gdwatch, root = programs / "gdwatch", place / "Zoë"
    where = stranger.call(programs / "python", "-c", "import gdwatch, train; print(gdwatch, train)")
    assert where.count(str(programs.parent)) == 2

    root.mkdir(mode=0o700)
    os.chown(root, STRANGER, STRANGER)
    assert str(root) in stranger.call(gdwatch, "init", "--root", root)
    name = "Zoë \N{EURO SIGN}.png".encode() + b"\xff"
    photograph = os.fsencode(root) + b"/inbox/" + name
    Path(os.fsdecode(photograph)).write_bytes(build.astronaut())
    os.chown(photograph, STRANGER, STRANGER)
    stranger.call(gdwatch, "run", "--once", "--root", root, "--set", "model=fast")
    status = json.loads(stranger.call(gdwatch, "status", "--json", "--root", root))
    assert (status["filed"], status["waiting"]) == (1, 0)
    assert "Zoë €.png\\xff" in stranger.call(gdwatch, "show", b"inbox/" + name, "--root", root)
    assert "ok" in stranger.call(gdwatch, "db", "check", "--root", root)
    assert "gdtrain 0" in stranger.call(programs / "gdtrain", "--version")
