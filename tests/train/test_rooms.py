"""Who imports whom in the trainer, by docs/architecture.md; and where each module is tested."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import train
from tests.docs.pages import DOCS, TOP, code, rows, section, text_of

PACKAGE = Path(train.__file__).parent
TESTS = Path(__file__).parent
TABLE = rows(section(text_of(DOCS / "architecture.md"), "The rooms of the trainer"))
EVERYTHING = "everything above"

# Modules without a test file of their own, and the file, below `tests`, whose tests run them.
TESTED_ELSEWHERE = {
    "__main__": "train/fitting/test_distributed.py",
    "audit/copies": "train/audit/test_audit.py",
    "checkpoint_file": "train/fitting/test_checkpoint.py",
    "commands/detection": "train/test_chain.py",
    "commands/everything": "train/test_chain.py",
    "commands/inputs": "train/test_cli.py",
    "commands/options": "train/test_cli.py",
    "commands/teaching": "train/test_chain.py",
    "commands/tuning": "train/tuning/test_tune.py",
    "data/crops": "train/detection/test_crop_faces.py",
    "data/near_duplicates": "train/data/test_prepare.py",
    "data/tensors": "train/fitting/test_fit.py",
    "detection/locator_measures": "train/detection/test_train_locator.py",
    "detection/places": "train/detection/test_crop_faces.py",
    "detection/scene_dataset": "train/detection/test_train_locator.py",
    "evaluation/photographs": "test_accuracy.py",
    "fitting/judge": "train/evaluation/test_evaluate.py",
    "fitting/predict": "train/fitting/test_fit.py",
    "fitting/surroundings_classifier": "train/export/test_fuse.py",
    "html_page": "train/evaluation/test_report.py",
    "progress": "train/test_cli.py",
    "teachers/perceptron": "train/teachers/test_teach.py",
    "teachers/surroundings": "train/teachers/test_teach.py",
    "tuning/examples": "train/tuning/test_tune.py",
    "tuning/learnt": "train/tuning/test_tune.py",
    "tuning/page": "train/tuning/test_tune.py",
    "tuning/tuned_model": "train/tuning/test_tune.py",
}


def name_of(file: Path) -> str:
    return ".".join(["train", *file.relative_to(PACKAGE).with_suffix("").parts])


FILES = {name_of(file): file for file in PACKAGE.rglob("*.py") if file.name != "__init__.py"}


def imports_of(file: Path) -> set[str]:
    """The modules of the trainer that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names = {f"{node.module}.{each.name}" for each in node.names}
            found |= {name if name in FILES else str(node.module) for name in names}
    return {name for name in found if name.partition(".")[0] == "train"}


def room_of(module: str) -> str:
    """The room of a module, or a module that stands in no room: `train.data.prepare` is `data`."""
    return module.split(".")[1]


IMPORTS = {name: imports_of(file) for name, file in FILES.items()}


def rooms() -> list[tuple[list[str], str, list[str]]]:
    """Each line of the table: its rooms, what it says of imports, and the rooms named there."""
    return [([name.rstrip("/") for name in code(row[0])], row[2], code(row[2])) for row in TABLE]


def test_the_table_has_every_room_and_every_module_outside_them() -> None:
    told = [name for names, _, _ in rooms() for name in names]
    assert sorted(told) == sorted({room_of(name) for name in FILES})


def test_what_a_room_imports_is_what_the_table_says() -> None:
    found: dict[str, set[str]] = {}
    for name, imported in IMPORTS.items():
        found.setdefault(room_of(name), set()).update(map(room_of, imported))
    above: set[str] = set()
    for names, said, allowed in rooms():
        imported = set().union(*(found[name] for name in names)) - set(names)
        if said == EVERYTHING:
            assert imported <= above, names
        else:
            assert imported == set(allowed), names
            assert imported <= above, f"{names}: imports a room that stands below it"
        above |= set(names)


def test_no_modules_import_each_other_in_a_circle() -> None:
    order = list(TopologicalSorter(IMPORTS).static_order())  # raises CycleError
    assert len(order) >= len(FILES) > 40


@pytest.mark.parametrize("name", sorted(FILES))
def test_what_is_imported_is_a_module(name: str) -> None:
    assert IMPORTS[name] <= FILES.keys()


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("__init__.py")), ids=lambda file: file.parent.name
)
def test_a_package_is_a_docstring_and_nothing_else(file: Path) -> None:
    (only,) = ast.parse(file.read_text(encoding="utf-8")).body
    assert isinstance(only, ast.Expr)
    assert isinstance(only.value, ast.Constant)
    assert isinstance(only.value.value, str)


def test_every_module_has_its_test_file_or_its_line() -> None:
    names = {file.relative_to(PACKAGE).with_suffix("").as_posix(): file for file in FILES.values()}
    untested = {
        name
        for name, file in names.items()
        if not (TESTS / file.relative_to(PACKAGE).with_name(f"test_{file.name}")).is_file()
    }
    assert untested == TESTED_ELSEWHERE.keys()
    for file in TESTED_ELSEWHERE.values():
        assert (TOP / "tests" / file).is_file(), file


@pytest.mark.parametrize("module", ["train.__main__", "train.cli"])
def test_help_loads_neither_torch_nor_what_takes_long(module: str) -> None:
    code = f"import sys, {module}\nprint(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=TOP, capture_output=True, text=True, check=True
    )
    assert not set(told.stdout.split()) & {
        "torch", "numpy", "PIL", "scipy", "sklearn", "pydantic", "onnxruntime"
    }  # fmt: skip
