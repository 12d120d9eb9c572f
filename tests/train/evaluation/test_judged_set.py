from pathlib import Path

from gdwatch.inference import model_file
from gdwatch.inference.model_file import Details
from tests.train.build import trained
from train.atomic_files import publish_rows
from train.data import prepared_set
from train.data.prepared_set import CLEAN, COLUMNS, Prepared
from train.evaluation.judged_set import described, open_judged
from train.export.export import export
from train.fitting.recipe import Recipe


def cleaned(prepared: Prepared) -> Prepared:
    """Leave every tenth picture out, as an audit may."""
    kept = [row for number, row in enumerate(prepared.rows) if number % 10]
    publish_rows(prepared.folder / CLEAN, COLUMNS, kept)
    return prepared_set.load_clean(prepared.folder)


def details_of(prepared: Prepared, recipe: Recipe, out: Path) -> Details:
    done = export(trained(prepared, recipe, out / "run"), out / "m.safetensors", "m", "1", 0.99)
    return model_file.read(done.file).details


def test_a_model_is_judged_by_the_set_that_it_learnt_from(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    whole = details_of(prepared, recipe, tmp_path / "a")
    clean = details_of(cleaned(prepared), recipe, tmp_path / "b")
    folder = prepared.folder
    assert open_judged(folder, [whole], clean=None).manifest.name == "manifest.csv"
    assert open_judged(folder, [clean], clean=None).manifest.name == CLEAN
    assert open_judged(folder, [whole, clean], clean=None).manifest.name == CLEAN
    assert open_judged(folder, [clean], clean=False).manifest.name == "manifest.csv"
    assert open_judged(folder, [whole], clean=True).manifest.name == CLEAN


def test_the_set_is_named_with_what_the_model_has_to_do_with_it(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    left = cleaned(prepared)
    details = details_of(left, recipe, tmp_path)
    assert described(left, details) == f"{CLEAN}, whose training part it learnt from"
    assert described(prepared, details) == "manifest.csv, it learnt from another set"
