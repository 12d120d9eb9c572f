"""The old program's weights give the old program's answers."""

import csv
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

from gdwatch.errors import GdwatchError
from tests.train.build import photograph
from tests.train.old_program import Old, old_weights
from train.export.import_seed import import_seed

DATA = Path(__file__).parents[4] / "shared" / "data"


OLD_TRANSFORM = transforms.Compose(
    [
        transforms.Resize([128, 128], antialias=True),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)


def old_answers(weights: dict[str, Tensor], files: Sequence[Path]) -> list[tuple[str, float]]:
    """Label and probability of `male`, one picture at a time."""
    network = Old().eval()
    network.load_state_dict(weights)
    answers = []
    for file in files:
        with torch.inference_mode(), Image.open(file) as image:
            said = network(OLD_TRANSFORM(image.convert("RGB"))[None])[0]
        answers.append((("female", "male")[int(said.argmax())], float(said[1].exp())))
    return answers


def new_answers(model: Path, files: Sequence[Path], folder: Path) -> list[tuple[str, float]]:
    """Label and probability of `male`, as `gdwatch classify` says them."""
    environment = {name: value for name, value in os.environ.items() if "GDWATCH" not in name}
    told = subprocess.run(
        [sys.executable, "-m", "gdwatch", "classify", *map(str, files), "--set", f"model={model}",
         "--set", "crop=whole", "--format", "csv"],
        cwd=folder, env=environment | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return [
        (row["label"], float(row["p_male"])) for row in csv.DictReader(io.StringIO(told.stdout))
    ]


def require_equal(new: Sequence[tuple[str, float]], old: Sequence[tuple[str, float]]) -> None:
    assert [label for label, _ in new] == [label for label, _ in old]
    assert [p for _, p in new] == pytest.approx([p for _, p in old], abs=1e-3)


def test_imported_weights_answer_as_the_old_program_did(tmp_path: Path) -> None:
    torch.save(old_weights(), tmp_path / "model.pt")
    model = import_seed(tmp_path / "model.pt", tmp_path / "seed.safetensors").path
    files = []
    for number, name in enumerate(("a.jpg", "b.png", "c.webp", "d.jpg", "e.bmp")):
        files.append(tmp_path / name)
        picture = photograph(name, side=150 + 30 * number, light=60 + 40 * number)
        picture.crop((0, 0, 150, 140 + 10 * number)).save(files[-1])
    old = old_answers(old_weights(), files)
    require_equal(new_answers(model, files, tmp_path), old)


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the photographs beside the repository")
@pytest.mark.timeout(300)
def test_the_published_weights_answer_as_the_old_program_did(tmp_path: Path) -> None:
    from train.data.sources import entries

    weights = torch.load(DATA / "seed/model.pt", weights_only=True, map_location="cpu")
    model = import_seed(DATA / "seed/model.pt", tmp_path / "seed.safetensors").path
    files = []
    for number, entry in enumerate(entries([DATA])[::107]):
        assert entry.place is not None
        files.append(tmp_path / f"{number:03}{Path(entry.path).suffix}")
        files[-1].write_bytes(entry.place.read())
    assert len(files) > 400
    require_equal(new_answers(model, files, tmp_path), old_answers(weights, files))


def test_a_state_dict_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")
    with pytest.raises(GdwatchError, match=r"other\.pt: not the seed network"):
        import_seed(tmp_path / "other.pt", tmp_path / "m.safetensors")
    assert not (tmp_path / "m.safetensors").exists()


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    torch.save({"conv1.weight": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(GdwatchError, match=r"bomb\.pt: no state dict"):
        import_seed(tmp_path / "bomb.pt", tmp_path / "m.safetensors")
    assert not (tmp_path / "exploded").exists()
