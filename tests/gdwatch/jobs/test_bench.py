import io
import json
from pathlib import Path

import pytest
from PIL import Image
from structlog.testing import capture_logs

from gdwatch.commands.doctor import doctor
from gdwatch.jobs import bench
from gdwatch.settings import Loaded, Settings
from tests import build


@pytest.mark.parametrize(
    ("decoding", "judging", "word"),
    [(0.99, 0.2, "workers"), (0.3, 0.97, "engine"), (0.9, 0.9, "cores"), (0.4, 0.4, "neither")],
)
def test_what_is_always_at_work_bounds_the_rest(decoding: float, judging: float, word: str) -> None:
    assert word in bench.bound(decoding, judging)


@pytest.mark.parametrize("side", bench.SIDES)
def test_the_pictures_are_jpegs_of_that_size_and_all_distinct(side: int) -> None:
    made = list(bench.pictures(side, 3))
    assert len(set(made)) == 3
    for each in made:
        image = Image.open(io.BytesIO(each))
        assert (image.format, image.size) == ("JPEG", (side * 3 // 4, side))


@pytest.mark.alone  # a worker that gets no turn within that tenth of a second has not decoded
def test_doctor_measures_with_the_settings_in_force(
    model: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "SECONDS", 0.1)
    settings = build.make_settings(root, model=str(model), workers=1, batch_size=4, device="cpu")
    before = build.contents(root)
    asked(settings)
    found = json.loads(capsys.readouterr().out)["bench"]
    assert (found["device"], found["workers"], found["batch_size"]) == ("cpu", 1, 4)
    assert found["engines"] == 1
    assert [each["side"] for each in found["speeds"]] == [200, 1280]
    for each in found["speeds"]:
        assert each["photographs_a_second"] > 0
        assert each["decoding"] > 0
        assert each["judging"] > 0
        assert each["bound"] == bench.bound(each["decoding"], each["judging"])
    assert build.contents(root) == before


def test_doctor_says_why_it_cannot_measure(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = build.make_settings(root, model=str(tmp_path / "none.safetensors"))
    assert asked(settings) == 78
    answer = json.loads(capsys.readouterr().out)
    assert "bench" not in answer
    (finding,) = [each for each in answer["findings"] if each["name"] == "bench"]
    assert "none.safetensors" in finding["what"]


def asked(settings: Settings) -> int:
    origins = dict.fromkeys(Settings.model_fields, "test")
    with capture_logs():  # which nobody has set up here, so that they would be in the answer
        return doctor(Loaded(settings, origins, ()), json_=True, bench=True)
