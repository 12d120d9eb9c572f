"""The man pages are made, are sound, and say what `--help` says."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gdwatch.settings import Settings
from tests.docs.pages import commands_of, program

SCRIPT = Path(__file__).parent.parent / "deploy" / "man_page.py"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True, cwd=SCRIPT.parent.parent)
    return folder


def plain(page: Path) -> str:
    return page.read_text(encoding="ascii").replace(r"\-", "-")


@pytest.mark.parametrize("name", ["gdwatch", "gdtrain"])
def test_a_man_page_has_every_command_and_every_option(pages: Path, name: str) -> None:
    text = plain(pages / f"{name}.1")
    for words, command in commands_of(program(name)).items():
        assert f"\n.SS {words}" in text
        for option in (each for each in command.params if each.param_type_name == "option"):
            assert all(rf"\fB{each}\fR" in text for each in option.opts), words


def test_the_page_of_gdwatch_has_every_setting_and_exit_status(pages: Path) -> None:
    text = plain(pages / "gdwatch.1")
    assert all(f"\n.B {name}\n" in text for name in Settings.model_fields)
    assert all(f"\n.B {status}\n" in text for status in (0, 1, 2, 75, 78))


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
@pytest.mark.parametrize("name", ["gdwatch", "gdtrain"])
def test_groff_has_nothing_to_warn_of(pages: Path, name: str) -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8", str(pages / f"{name}.1")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
