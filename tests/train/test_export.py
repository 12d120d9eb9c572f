import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gdwatch import model, model_file
from gdwatch.errors import GdwatchError
from train.__main__ import main
from train.evaluate import evaluate
from train.export import export
from train.fit import fit
from train.pictures import Prepared
from train.recipe import Recipe


def trained(prepared: Prepared, recipe: Recipe, run: Path) -> Path:
    fit(prepared, recipe, run, lambda step: None, lambda epoch: None)
    return run


@dataclass(frozen=True)
class Told:
    status: int
    out: str
    err: str


@pytest.fixture
def gdtrain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Told]:
    """Run the command in this process."""

    def run(*arguments: object) -> Told:
        monkeypatch.setattr(sys, "argv", ["gdtrain", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return Told(int(ended.value.code or 0), out, err)

    return run


def test_an_exported_file_is_one_that_the_service_loads(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    done = export(trained(prepared, recipe, tmp_path / "run"), tmp_path / "m.safetensors", "m", "1")
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
    export(trained(prepared, recipe, tmp_path / "run"), tmp_path / "m.safetensors", "m", "1")
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert card.startswith("# Model m 1\n")
    assert "Not for children under 10" in card
    assert "| faces |" in card


def test_a_file_says_the_same_as_the_network_that_was_trained(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    done = export(trained(prepared, recipe, tmp_path / "run"), tmp_path / "m.safetensors", "m", "1")
    loaded = model.load(model_file.read(done.file))
    found = evaluate(loaded.classifier, loaded.details, prepared, "test", 10)
    assert found.overall == done.evaluation.overall


def test_an_empty_run_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(GdwatchError, match=r"no checkpoint\.pt in it; train with `gdtrain fit`"):
        export(tmp_path, tmp_path / "m.safetensors", "m", "1")


def test_an_empty_split_cannot_be_evaluated(
    prepared: Prepared, recipe: Recipe, tmp_path: Path
) -> None:
    done = export(trained(prepared, recipe, tmp_path / "run"), tmp_path / "m.safetensors", "m", "1")
    loaded = model.load(model_file.read(done.file))
    nothing = Prepared(prepared.folder, [], np.empty((0, 128, 128, 3), np.uint8), "x")
    with pytest.raises(GdwatchError, match="split test is empty"):
        evaluate(loaded.classifier, loaded.details, nothing, "test", 10)


def test_the_commands_work_one_after_the_other(
    class_folders: Callable[[int], Path],
    recipe: Recipe,
    tmp_path: Path,
    gdtrain: Callable[..., Told],
) -> None:
    prepared, run, file = tmp_path / "prepared", tmp_path / "run", tmp_path / "m.safetensors"
    told = gdtrain("prepare", class_folders(60), "--out", prepared)
    assert told.out.startswith("pictures 120\ntrain ")
    assert told.out.endswith("duplicates left out 0\nunreadable 0\n")
    write_recipe(recipe, tmp_path / "tiny.toml")
    told = gdtrain("fit", prepared, "--recipe", tmp_path / "tiny.toml", "--out", run)
    assert told.out.startswith("best epoch ")
    assert told.err.startswith("epoch=1 size=16 train_loss=")
    told = gdtrain("export", run, "-o", file)
    assert told.out.startswith(f"{file} ")
    told = gdtrain("evaluate", file, prepared, "--json")
    assert json.loads(told.out)["overall"]["balanced_accuracy"] > 0.8
    assert "balanced" in gdtrain("evaluate", file, prepared).out


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


def test_help_names_the_four_commands(gdtrain: Callable[..., Told]) -> None:
    shown = gdtrain("--help").out
    assert all(name in shown for name in ("prepare", "fit", "evaluate", "export"))


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


def write_recipe(recipe: Recipe, file: Path) -> None:
    """Write TOML: its values are JSON's, but for the tables."""
    tables = recipe.model_dump()
    phases = tables.pop("phases")
    lines = [f"{k} = {json.dumps(v)}" for k, v in tables.items() if not isinstance(v, dict)]
    for name, table in [(k, v) for k, v in tables.items() if isinstance(v, dict)]:
        lines += [f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items())]
    for phase in phases:
        lines += ["[[phases]]", *(f"{k} = {v}" for k, v in phase.items())]
    file.write_text("\n".join(lines))
