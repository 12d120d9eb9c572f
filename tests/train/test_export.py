import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gdwatch.errors import GdwatchError
from gdwatch.inference import model, model_file
from tests.train.conftest import Told, Untold, photograph, write_recipe
from tests.train.test_seed import old_weights
from train.data import prepared_set
from train.data.prepared_set import Prepared, Row
from train.evaluation.evaluate import evaluate
from train.evaluation.report import report
from train.export.export import export
from train.fitting import checkpoint
from train.fitting import recipe as recipes
from train.fitting.fit import fit
from train.fitting.predict import logits
from train.fitting.recipe import Recipe
from train.fitting.teacher import ModelTeacher
from train.metrics import fit_temperature


def trained(prepared: Prepared, recipe: Recipe, run: Path) -> Path:
    fit(prepared, recipe, run, Untold())
    return run


COMMANDS = ("prepare", "audit", "detect", "locate", "crop", "teach", "fit", "export", "calibrate",
            "evaluate", "compare", "report", "import-seed", "all")  # fmt: skip


def test_an_exported_file_is_one_that_the_service_loads(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    done = export(
        trained(prepared, recipe, tmp_path / "run"), tmp_path / "m.safetensors", "m", "1", 0.99
    )
    details = model.load(model_file.read(done.file)).details
    assert (details.name, details.version, details.classifier.input) == ("m", "1", 32)
    assert details.temperature > 0
    assert 0.5 <= details.min_confidence <= 1
    assert details.recipe["seed"] == 3
    assert details.trained_on["pictures"]["faces"]["train"] > 80
    assert details.measures["overall"]["pictures"] == done.evaluation.overall.pictures


def test_the_card_lies_beside_the_file_and_says_what_it_is_not_for(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    export(trained(prepared, recipe, tmp_path / "run"), tmp_path / "m.safetensors", "m", "1", 0.99)
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert card.startswith("# Model m 1\n")
    assert "Not for children under 10" in card
    assert "| faces |" in card


def test_a_file_says_the_same_as_the_network_that_was_trained(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    done = export(
        trained(prepared, recipe, tmp_path / "run"), tmp_path / "m.safetensors", "m", "1", 0.99
    )
    loaded = model.load(model_file.read(done.file))
    found = evaluate(loaded, prepared, "test", 10)
    assert found.overall == done.evaluation.overall


def test_an_empty_run_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(GdwatchError, match=r"no checkpoint\.pt in it; train with `gdtrain fit`"):
        export(tmp_path, tmp_path / "m.safetensors", "m", "1", 0.99)


def test_an_empty_split_cannot_be_evaluated(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    done = export(
        trained(prepared, recipe, tmp_path / "run"), tmp_path / "m.safetensors", "m", "1", 0.99
    )
    loaded = model.load(model_file.read(done.file))
    nothing = replace(prepared, rows=[])
    with pytest.raises(GdwatchError, match="split test is empty"):
        evaluate(loaded, nothing, "test", 10)


def test_the_commands_work_one_after_the_other(
    class_folders: Callable[[int], Path],
    recipe: Recipe,
    tmp_path: Path,
    gdtrain: Callable[..., Told],
) -> None:
    prepared, run, file = tmp_path / "prepared", tmp_path / "run", tmp_path / "m.safetensors"
    told = gdtrain("prepare", class_folders(60), "--out", prepared)
    assert told.out.startswith("pictures 120\ntrain ")
    assert told.out.endswith("near-duplicates 0\nwithout a class 0\nunreadable 0\n")
    write_recipe(recipe, tmp_path / "tiny.toml")
    told = gdtrain("fit", prepared, "--recipe", tmp_path / "tiny.toml", "--out", run)
    assert told.out.startswith("best epoch ")
    assert told.err.startswith("epoch=1 size=16 train_loss=")
    told = gdtrain("export", run, "-o", file)
    assert told.out.startswith(f"{file} ")
    told = gdtrain("evaluate", file, prepared, "--json")
    assert json.loads(told.out)["overall"]["balanced_accuracy"] > 0.8
    assert "balanced" in gdtrain("evaluate", file, prepared).out
    seed = tmp_path / "seed.pt"
    torch.save(old_weights(), seed)
    told = gdtrain("import-seed", seed, "-o", tmp_path / "seed.safetensors")
    assert told.out.startswith(f"{tmp_path / 'seed.safetensors'} ")
    told = gdtrain("compare", file, tmp_path / "seed.safetensors", prepared)
    assert "only seed" in told.out
    told = gdtrain("report", file, prepared, "-o", tmp_path / "report.html")
    assert told.out == f"{tmp_path / 'report.html'}\n"


def test_an_error_is_one_line_with_a_hint(tmp_path: Path, gdtrain: Callable[..., Told]) -> None:
    told = gdtrain("export", tmp_path, "-o", tmp_path / "m.safetensors")
    line = f"gdtrain: {tmp_path}: no checkpoint.pt in it; train with `gdtrain fit`\n"
    assert told == Told(1, "", line)


def test_debug_shows_the_traceback(tmp_path: Path, gdtrain: Callable[..., Told]) -> None:
    told = gdtrain("export", tmp_path, "-o", tmp_path / "m.safetensors", "--debug")
    assert "Traceback" in told.err


def test_an_unreadable_picture_is_named_on_standard_error(
    class_folders: Callable[[int], Path], tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    data = class_folders(2)
    (data / "male/bad.bmp").write_bytes(b"")
    told = gdtrain("prepare", data, "--out", tmp_path / "prepared")
    assert told.err == "gdtrain: male/bad.bmp: 0 bytes\n"
    assert told.out.endswith("unreadable 1\n")


def test_help_names_the_commands(gdtrain: Callable[..., Told]) -> None:
    shown = gdtrain("--help").out
    assert all(name in shown for name in COMMANDS)


def test_a_missing_package_is_one_line() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['gdtrain', 'export', 'r', '-o', 'f'];"
        "from train.__main__ import main; main()"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    line = "gdtrain: package torch is not installed; pip install 'gdwatch[train]'\n"
    assert (told.returncode, told.stderr) == (1, line)


def test_a_folded_file_is_smaller_and_says_the_same(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    run = trained(prepared, recipe, tmp_path / "run")
    done = export(run, tmp_path / "m.safetensors", "m", "1", 0.99)
    folded = model.load(model_file.read(done.file)).classifier
    assert not any("norm" in name for name in folded.state_dict())
    whole = checkpoint.load(run)
    whole.average.load_state_dict(whole.best)
    photos = torch.randint(0, 256, (9, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.allclose(folded(photos), whole.average(photos), atol=1e-4)


def test_an_accuracy_out_of_reach_is_said(
    prepared: Prepared, recipe: Recipe, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    # All pictures of `val` are one, half of them under each label.
    held_back = prepared.select("val", 0).tolist()
    np.load(prepared.folder / "pictures.npy", mmap_mode="r+")[held_back] = 128
    rows = [*prepared.rows]
    for number, row in enumerate(held_back):
        rows[row] = replace(rows[row], label="male" if number % 2 else "female")
    write_rows(prepared, rows)
    run = trained(prepared_set.load(prepared.folder), recipe, tmp_path / "run")
    told = gdtrain("export", run, "-o", tmp_path / "m.safetensors")
    assert told.status == 0
    assert told.err.startswith("gdtrain: no min_confidence accepts with accuracy 0.99 on val; ")


def write_rows(prepared: Prepared, rows: list[Row]) -> None:
    with (prepared.folder / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, prepared_set.COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


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


def test_a_model_is_not_compared_with_itself(
    prepared: Prepared, recipe: Recipe, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    run = trained(prepared, recipe, tmp_path / "run")
    file = export(run, tmp_path / "m.safetensors", "m", "1", 0.99).file
    told = gdtrain("compare", file, file, prepared.folder)
    assert told == Told(2, "", "gdtrain: both are the same model; name two\n")


def test_the_commands_of_the_readme_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gdtrain: Callable[..., Told]
) -> None:
    readme = (Path(__file__).parents[2] / "docs" / "train.md").read_text()
    section = readme[readme.index("## Train your own") :]
    lines = [
        line.split("  #")[0].split()[1:]
        for line in section[: section.index("```\n\n")].splitlines()
        if line.startswith("gdtrain ")
    ]
    assert [line[0] for line in lines] == [
        "prepare", "audit", "fit", "export", "evaluate", "report"
    ]  # fmt: skip
    for label in ("female", "male"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(60):
            picture = photograph(f"{label}{number}", barred=label == "male")
            picture.save(tmp_path / "photos" / label / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    for line in lines:
        told = gdtrain(*line)
        assert told.status == 0, told.err
    assert {"MODEL_CARD.md", "mine.safetensors", "report.html"} <= {
        file.name for file in tmp_path.iterdir()
    }


def test_the_readme_names_every_recipe() -> None:
    readme = (Path(__file__).parents[2] / "docs" / "train.md").read_text()
    for recipe in recipes.PACKAGED.glob("*.toml"):
        assert f"`{recipe.stem}`" in readme


def test_a_split_that_there_is_not_is_named(
    prepared: Prepared, recipe: Recipe, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    torch.save(old_weights(), tmp_path / "model.pt")
    gdtrain("import-seed", tmp_path / "model.pt", "-o", tmp_path / "m.safetensors")
    told = gdtrain("evaluate", tmp_path / "m.safetensors", prepared.folder, "--split", "half")
    line = "gdtrain: split half: there is none; name one of train, val, test\n"
    assert told == Told(2, "", line)


def test_a_page_that_cannot_be_written_is_one_line(
    prepared: Prepared, tmp_path: Path, gdtrain: Callable[..., Told]
) -> None:
    torch.save(old_weights(), tmp_path / "model.pt")
    gdtrain("import-seed", tmp_path / "model.pt", "-o", tmp_path / "m.safetensors")
    page = tmp_path / "gone/report.html"
    told = gdtrain("report", tmp_path / "m.safetensors", prepared.folder, "-o", page)
    assert told.status == 1
    assert told.err.startswith(f"gdtrain: {page}: could not be written (No such file or directory)")
    assert told.err.count("\n") == 1


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
    assert f"SHA-256 {teacher.sha256}" in card


def test_a_source_kept_out_neither_calibrates_nor_counts(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    rows = [
        replace(row, source="new" if number % 3 == 0 else "old")
        for number, row in enumerate(prepared.rows)
    ]
    write_rows(prepared, rows)
    folder = prepared_set.load(prepared.folder)
    kept_out = recipe.model_copy(update={"without": ["new"]})
    done = export(trained(folder, kept_out, tmp_path / "run"), tmp_path / "m.st", "m", "1", 0.99)
    details = model_file.read(done.file).details
    assert details.trained_on["pictures"]["new"]["train"] == 0
    assert details.trained_on["pictures"]["new"]["val"] == 0
    assert details.trained_on["pictures"]["new"]["test"] > 0
    network = model.load(model_file.read(done.file)).classifier
    held_back = np.array([
        row for row in folder.select("val", 10) if folder.rows[row].source == "old"
    ])  # fmt: skip
    judged = logits(network, folder, held_back, recipe.input)
    assert done.temperature == pytest.approx(
        fit_temperature(judged, folder.is_male()[held_back]), rel=1e-3
    )
