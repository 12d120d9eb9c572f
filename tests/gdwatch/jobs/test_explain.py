import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gdwatch.errors import GdwatchError
from gdwatch.jobs.explain import Explainer
from gdwatch.settings import Settings, load
from gdwatch.values import Box, Decision, Judged, Opened, Refusal
from tests import build

pytest.importorskip("captum")


@pytest.fixture
def settings() -> Settings:
    return load({}, None).settings


def test_a_panel_for_each_picture_that_was_judged(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a b.jpg").write_bytes(build.astronaut())
    (folder / "c.png").write_bytes(b"no picture")
    (folder / "d.jpg").write_bytes(build.grace_hopper())
    done = subprocess.run(
        [sys.executable, "-m", "gdwatch", "classify", folder, "--explain", tmp_path / "panels"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    panels = sorted(path.name for path in (tmp_path / "panels").iterdir())
    assert panels == ["00001-a_b.jpg.png", "00003-d.jpg.png"]
    with Image.open(tmp_path / "panels" / panels[0]) as panel:
        colours = np.asarray(panel.convert("RGB")).reshape(-1, 3)
    assert (colours == (255, 200, 0)).all(1).any()  # the box


def test_what_spoke_for_an_answer_lies_within_the_crop(settings: Settings, tmp_path: Path) -> None:
    explainer = Explainer(settings, tmp_path)
    square = np.asarray(Image.effect_noise((64, 64), 60).convert("RGB"))
    heat = explainer.evidence(square)
    assert (heat.shape, heat.dtype) == ((64, 64), np.float32)
    assert heat.min() >= 0
    assert heat.max() in (0, 1)


def test_the_crop_is_the_service_s(settings: Settings, tmp_path: Path) -> None:
    explainer = Explainer(settings, tmp_path)
    photo = Image.new("RGB", (4000, 3000), "white")
    photo.paste((0, 0, 0), (1000, 1000, 1400, 1400))
    square = explainer._seen(photo, Box(1000, 1000, 400, 400))
    black = (square.mean(2) < 128).mean()
    assert black == pytest.approx(1 / 1.4**2, abs=0.03)  # the margin


def test_a_refused_file_has_no_panel_and_a_folder_that_cannot_be_made_is_named(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"")
    with path.open("rb") as file:
        opened = Opened(build.drop_of(path), file.fileno())
        refused = Judged(opened, Refusal("empty", ""), Decision("rejected", "empty"))
        assert Explainer(settings, tmp_path).panel(0, refused) is None
    with pytest.raises(GdwatchError, match="name another folder"):
        Explainer(settings, path)
