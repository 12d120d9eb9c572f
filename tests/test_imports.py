"""Who imports what: torch costs seconds and half a gigabyte, so only the engine may have it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gdwatch
from tests import build
from tests.build import Services, photograph

PACKAGE = Path(gdwatch.__file__).parent


def test_only_the_engine_has_torch(services: Services, root: Path) -> None:
    service = services.start(root, workers=2)
    service.wait_for("service.ready")
    build.put(root, "a.png", photograph(1))
    service.wait_for_filed("inbox/a.png")
    children = build.descendants(service.process.pid)
    assert sorted(children.values()) == ["gdwatch.engine"] * 2 + ["gdwatch.worker"] * 2
    for pid, name in children.items():
        if name == "gdwatch.engine":
            assert has_torch(pid), name
        else:
            assert not has_torch(pid), name
    assert not has_torch(service.process.pid)


def has_torch(pid: int) -> bool:
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def loaded_by(module: str, then: str = "") -> set[str]:
    code = f"import sys, {module}\n{then}\nprint(*sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


@pytest.mark.parametrize("module", ["gdwatch.cli", "gdwatch.__main__"])
def test_help_loads_next_to_nothing(module: str) -> None:
    assert not loaded_by(module) & {
        "torch", "sqlalchemy", "alembic", "numpy", "PIL", "pydantic", "watchdog", "safetensors"
    }  # fmt: skip


def test_the_service_loads_neither_torch_nor_decoders() -> None:
    assert not loaded_by("gdwatch.service") & {"torch", "torchvision", "simplejpeg"}


def test_the_engine_loads_no_more_of_torch_than_it_needs() -> None:
    assert not loaded_by("gdwatch.engine") & {"torchvision", "triton", "sqlalchemy", "watchdog"}


@pytest.mark.parametrize("name", ["fast", "accurate", "whole"])
def test_loading_a_model_imports_no_more_of_torch(name: str) -> None:
    read = f"model_file.read(model_file.find({name!r}))"
    do = f"from gdwatch import model, model_file; model.load({read})"
    assert not loaded_by("gdwatch.engine", do) & {"torch._dynamo", "sympy"}  # 1 s, 80 MB


def test_a_worker_loads_neither_torch_nor_the_ledger_nor_what_reads_models() -> None:
    assert not loaded_by("gdwatch.worker") & {
        "torch", "sqlalchemy", "alembic", "pydantic", "safetensors"
    }  # fmt: skip


def imported_in(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.name)
def test_the_service_never_imports_the_trainer_nor_a_pickle(file: Path) -> None:
    assert not imported_in(file) & {"train", "pickle", "shelve", "marshal", "multiprocessing"}


# One module does all that changes files, so that one can be read and tested for it.
CHANGES = {"rename", "renames", "unlink", "remove", "rmdir", "link", "symlink", "move", "rmtree"}


@pytest.mark.parametrize(
    "file", [each for each in sorted(PACKAGE.glob("*.py")) if each.name != "filing.py"],
    ids=lambda file: file.name,
)  # fmt: skip
def test_only_filing_changes_files_of_people(file: Path) -> None:
    called = {
        f"{node.func.value.id}.{node.func.attr}"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in ("os", "shutil")
    }
    assert not {name for name in called if name.partition(".")[2] in CHANGES}
