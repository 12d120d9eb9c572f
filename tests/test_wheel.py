"""What is installed is whole: packages, migrations, the model, the recipes."""

import subprocess
import sys
import zipfile
from pathlib import Path

TOP = Path(__file__).parent.parent


def test_the_wheel_holds_all_that_is_needed(tmp_path):
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, tmp_path], cwd=TOP, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        names = set(wheel.namelist())
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
