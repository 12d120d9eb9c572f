import re
from pathlib import Path

from gdwatch.inference import model, model_file
from tests.train.build import trained
from train.data.prepared_set import Prepared
from train.evaluation.report import report
from train.export.export import export
from train.fitting.recipe import Recipe


def test_the_report_is_one_file_that_needs_no_other(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    run = trained(prepared, recipe, tmp_path / "run")
    done = export(run, tmp_path / "m.safetensors", "m", "1", 0.99)
    report(model.load(model_file.read(done.file)), prepared, "train", 10, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert all(title in text for title in ("ROC", "Reliability", "Coverage", "Training"))
    assert "By source" in text
    assert "By age" not in text  # the manifest has none
    outside = [link for link in re.findall(r'(?:src|href)="([^"]*)"', text) if link[0] not in "#d"]
    assert outside == []
