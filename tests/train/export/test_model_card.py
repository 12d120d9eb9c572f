from pathlib import Path

from gdwatch.inference import model, model_file
from tests.train.build import Untold, trained
from train.data.prepared_set import Prepared
from train.export.export import export
from train.fitting.fit import fit
from train.fitting.recipe import Recipe
from train.fitting.teacher import ModelTeacher


def test_the_card_lies_beside_the_file_and_says_what_it_is_not_for(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    export(trained(prepared, recipe, tmp_path / "run"), tmp_path / "m.safetensors", "m", "1", 0.99)
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert card.startswith("# Model m 1\n")
    assert "Not for children under 10" in card
    assert "| faces |" in card


def test_the_card_counts_only_what_was_learnt_and_names_the_teacher(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    teacher = export(trained(prepared, recipe, tmp_path / "t"), tmp_path / "t.st", "t", "1", 0.99)
    taught = recipe.model_copy(update={"teacher": 0.5, "label_smoothing": 0.0, "pictures": 40})
    repeated = taught.model_copy(update={"repeat": {"faces": 2}})
    loaded = model.load(model_file.read(teacher.file))
    fit(prepared, repeated, tmp_path / "run", Untold(), ModelTeacher(loaded))
    export(tmp_path / "run", tmp_path / "out/m.safetensors", "m", "1", 0.99)
    card = (tmp_path / "out/MODEL_CARD.md").read_text()
    assert "| faces | 40 |" in card
    assert f"| SHA-256 `{teacher.sha256}` | its answers were learnt; not in the file | " in card
