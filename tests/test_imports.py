"""Who imports what: torch costs seconds and half a gigabyte, so only the engine may have it."""

import ast
import re
import subprocess
import sys
import tomllib
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
    assert (
        sorted(children.values())
        == ["gdwatch.processes.engine"] * 2 + ["gdwatch.processes.worker"] * 2
    )
    for pid, name in children.items():
        if name == "gdwatch.processes.engine":
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
    assert not loaded_by("gdwatch.service.loop") & {"torch", "torchvision", "simplejpeg"}


def test_the_engine_loads_no_more_of_torch_than_it_needs() -> None:
    assert not loaded_by("gdwatch.processes.engine") & {
        "torchvision",
        "triton",
        "sqlalchemy",
        "watchdog",
    }


def test_loading_a_model_imports_no_more_of_torch() -> None:
    names = ("fast", "accurate", "whole")
    loads = (f"model.load(model_file.read(model_file.find({name!r})))" for name in names)
    do = "; ".join(["from gdwatch.inference import model, model_file", *loads])
    assert not loaded_by("gdwatch.processes.engine", do) & {
        "torch._dynamo",
        "sympy",
    }  # 1 s, 80 MB


def test_a_worker_loads_neither_torch_nor_the_ledger_nor_what_reads_models() -> None:
    assert not loaded_by("gdwatch.processes.worker") & {
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


def test_the_service_needs_no_package_that_comes_with_an_extra():
    """`make run` installs the dependencies alone; `ui` and `ray` are extras."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=]", each)[0].replace("-", "_") for each in project["dependencies"]}
    needed = names | {"PIL", "pydantic"}  # pillow's module, and what pydantic-settings is made with
    files = [file for file in PACKAGE.rglob("*.py") if not {"ui", "cluster"} & {*file.parts}]
    imported = set().union(*map(imported_in, files))
    others = imported - needed - sys.stdlib_module_names - {"gdwatch"}
    # Of the extras `explain`, `parquet` and `drift`, each with a line that says so.
    assert others == {"captum", "pyarrow", "scipy"}


# One module does all that changes files of people, so that one can be read and tested for it.
CHANGES = {"rename", "renames", "unlink", "remove", "removedirs", "rmdir", "link", "symlink",
           "move", "rmtree", "replace", "hardlink_to", "symlink_to", "truncate"}  # fmt: skip
MOVES_FILES = {"filing/move.py", "filing/renaming.py", "filing/copying.py", "filing/linking.py"}
# What these change is the program's own: its state, its ledger's snapshots and model files that the
# trainer asks for and the answers of `classify`, all written aside first, and the probes of
# `doctor`; and empty folders of the inbox.
CHANGE_THEIR_OWN = {
    "intake/inbox_listing.py": {"rmdir"},
    "files/atomic_write.py": {"replace", "unlink"},
    "ledger/migration.py": {"unlink"},
    "root/status_file.py": {"truncate"},
    "jobs/installation.py": {"unlink"},
}


def changes_in(file: Path) -> set[str]:
    """What a module calls by a name that changes files, whatever it calls it on."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    return {
        call.func.attr
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in CHANGES
        # That of a text takes two, that of a path one.
        and not (call.func.attr == "replace" and (len(call.args) != 1 or call.keywords))
        # That of a list, and that of `filing`.
        and not (call.func.attr in ("remove", "move") and not is_os(call.func.value))
    }


def is_os(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("os", "shutil")


@pytest.mark.parametrize(
    "file",
    [each.relative_to(PACKAGE) for each in sorted(PACKAGE.rglob("*.py"))],
    ids=str,
)
def test_only_filing_changes_files_of_people(file: Path) -> None:
    if str(file) not in MOVES_FILES:
        assert changes_in(PACKAGE / file) == CHANGE_THEIR_OWN.get(str(file), set())


def test_the_modules_that_may_change_files_are_there_and_do() -> None:
    assert set().union(*(changes_in(PACKAGE / name) for name in MOVES_FILES)) == {"link", "unlink"}
    for name in (*MOVES_FILES, *CHANGE_THEIR_OWN):
        assert (PACKAGE / name).is_file(), name
