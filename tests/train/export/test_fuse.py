from pathlib import Path

import pytest
import torch

from gdwatch.errors import GdwatchError, UsageError
from gdwatch.inference import model, model_file
from gdwatch.networks.two_inputs import TwoInputClassifier
from tests.train.build import TINY_LOCATOR, Untold
from train.data import prepared_set
from train.detection import locator_run
from train.export.export import export
from train.export.fuse import fuse
from train.fitting import checkpoint
from train.fitting.fit import fit
from train.fitting.recipe import Recipe

COLOURS = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
FACE = {"arch": "pooled", "widths": [4, 8], "blocks": [1, 1], "nobody": True}
AROUND = {"arch": "surroundings", "stem": 4, "stages": [(1, 4, 1, 1)], "head": 8}
LOCATOR = Path("locator")


def trained(folder: Path, recipe: Recipe, changed: dict[str, object], out: Path) -> Path:
    phases = [{"size": 32, "epochs": 3}]
    wanted = Recipe.model_validate(
        recipe.model_dump() | {"nobody": 1, "phases": phases} | COLOURS | changed
    )
    fit(prepared_set.load(folder, wanted.crop), wanted, out, Untold())
    return out


@pytest.fixture
def runs(three_views: Path, recipe: Recipe, tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / LOCATOR).mkdir()
    locator_run.save(locator_run.start(TINY_LOCATOR), tmp_path / LOCATOR)
    return (
        trained(three_views, recipe, {"crop": "upright", "network": FACE}, tmp_path / "face"),
        trained(
            three_views, recipe, {"crop": "surroundings", "network": AROUND}, tmp_path / "around"
        ),
    )


def test_two_runs_become_one_model_that_knows_how_far_to_believe_each(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    locators = (tmp_path / LOCATOR, tmp_path / LOCATOR)
    done = fuse(*runs, tmp_path / "m.safetensors", ("m", "2"), 0.9, locators)
    loaded = model.load(model_file.read(done.file))
    classifier = loaded.classifier
    assert isinstance(classifier, TwoInputClassifier)
    assert loaded.closer is not None
    assert loaded.details.preprocessing.upright
    assert done.evaluation.overall.balanced_accuracy > 0.9
    assert not torch.allclose(classifier.male[:4], torch.tensor([1.0, 0, 0, 0]))
    face = checkpoint.load(runs[0])
    stem = face.best["stem.weight"]
    assert torch.allclose(classifier.face.stem.weight, stem, atol=1e-3)  # float16 in the file
    assert loaded.details.recipe["surroundings"]["crop"] == "surroundings"
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert card.startswith("# Model m 2\n")
    assert "a square around each face, 1.4 times" in card
    assert "whole picture" not in card


def test_two_runs_that_are_no_pair_are_refused(
    runs: tuple[Path, Path], three_views: Path, recipe: Recipe, tmp_path: Path
) -> None:
    file, locators = tmp_path / "m.safetensors", (tmp_path / LOCATOR, None)
    with pytest.raises(UsageError, match="not a face and its surroundings"):
        fuse(runs[1], runs[0], file, ("m", "2"), 0.9, locators)
    with pytest.raises(UsageError, match="put it to a face with `gdtrain fuse`"):
        export(runs[1], file, "m", "2", 0.9, *locators)
    grey = {"crop": "surroundings", "network": AROUND, "mean": (0.4, 0.4, 0.4)}
    other = trained(three_views, recipe, grey, tmp_path / "other")
    with pytest.raises(UsageError, match="give both recipes the same mean and std"):
        fuse(runs[0], other, file, ("m", "2"), 0.9, locators)
    table = three_views / "crops.csv"
    table.write_text(table.read_text().replace("0.9", "0.8"))
    with pytest.raises(GdwatchError, match="made with another prepared folder"):
        fuse(*runs, file, ("m", "2"), 0.9, locators)
