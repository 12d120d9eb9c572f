"""The systemd unit, checked by systemd's own tools."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent / "deploy" / "gdwatch.service"

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def analyze(*words):
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


def test_the_unit_is_valid(tmp_path):
    # systemd looks for the program and the user on this machine: these stand in for them.
    unit = tmp_path / UNIT.name
    text = UNIT.read_text().replace("/opt/gdwatch/bin/gdwatch", "/bin/true")
    unit.write_text(
        text.replace("User=gdwatch", "User=root").replace("Group=gdwatch", "Group=root")
    )
    done = analyze("verify", str(unit))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_exposes_little():
    done = analyze("security", "--offline=true", "--threshold=25", str(UNIT))
    assert done.returncode == 0, done.stdout
