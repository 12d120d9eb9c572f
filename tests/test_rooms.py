"""The house: who may import whom, no circles, and a test for every module.

The table is that of docs/architecture.md.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import gdwatch

PACKAGE = Path(gdwatch.__file__).parent
TESTS = Path(__file__).parent / "gdwatch"

COMMON = {"values", "errors", "log", "backoff"}
MAY_IMPORT: dict[str, set[str]] = {
    **{module: set() for module in COMMON},
    "utf8_mode": set(),
    "settings": {"errors"},
    "networks": set(),
    "files": {"values", "errors"},
    "decode": {"values", "errors"},
    "root": {"files", "settings"} | COMMON,
    "ledger": {"files", "settings"} | COMMON,
    "inference": {"networks", "decode", "files"} | COMMON,
    "cuda": {"inference", "networks", "decode"} | COMMON,
    "intake": {"root", "files", "settings"} | COMMON,
    "filing": {"ledger", "root", "files", "settings"} | COMMON,
    "processes": {"decode", "inference", "cuda", "files"} | COMMON,
    "pipeline": {"processes", "inference", "decode", "files", "settings"} | COMMON,
}
BELOW = set(MAY_IMPORT)
MAY_IMPORT["service"] = BELOW
MAY_IMPORT["jobs"] = BELOW
MAY_IMPORT["ui"] = BELOW | {"jobs"}
MAY_IMPORT["classifier"] = BELOW | {"jobs"}
MAY_IMPORT["cluster"] = BELOW | {"jobs"}
MAY_IMPORT["commands"] = BELOW | {"service", "jobs", "ui", "cluster"}
MAY_IMPORT["exit_status"] = {"errors", "files", "log", "utf8_mode"}
MAY_IMPORT["cli"] = BELOW | {"service", "jobs", "ui", "commands", "exit_status"}
MAY_IMPORT["__main__"] = {"cli"}

# Modules without a test file of their own, and where they are tested instead.
TESTED_IN: dict[str, str] = {
    "gdwatch.__main__": "test_imports.py",
    "gdwatch.cli": "test_commands.py",
    "gdwatch.cluster.connection": "gdwatch/cluster/test_classify.py",
    "gdwatch.cluster.judge": "gdwatch/cluster/test_classify.py",
    "gdwatch.commands.cluster": "gdwatch/cluster/test_classify.py",
    "gdwatch.commands.asked": "test_commands.py",
    "gdwatch.commands.classify": "test_commands.py",
    "gdwatch.commands.correct": "test_commands.py",
    "gdwatch.commands.db": "test_commands.py",
    "gdwatch.commands.doctor": "test_commands.py",
    "gdwatch.commands.init": "faults/test_drop_rights.py",
    "gdwatch.commands.model": "test_commands.py",
    "gdwatch.commands.options": "test_commands.py",
    "gdwatch.commands.output": "test_commands.py",
    "gdwatch.commands.reprocess": "test_commands.py",
    "gdwatch.commands.restore": "faults/test_kill_originals.py",
    "gdwatch.commands.requeue": "test_commands.py",
    "gdwatch.commands.status": "test_commands.py",
    "gdwatch.cuda.batched": "gdwatch/cuda/test_cuda_predictor.py",
    "gdwatch.cuda.streams": "gdwatch/cuda/test_cuda_predictor.py",
    "gdwatch.cuda.self_test": "gdwatch/cuda/test_cuda_predictor.py",
    "gdwatch.decode.formats": "gdwatch/decode/test_decoder.py",
    "gdwatch.decode.huffman": "gdwatch/decode/test_jpeg.py",
    "gdwatch.decode.reduce": "gdwatch/inference/test_crop.py",
    "gdwatch.exit_status": "test_commands.py",
    "gdwatch.errors": "test_commands.py",
    "gdwatch.files.content": "gdwatch/filing/test_move.py",
    "gdwatch.files.open_nofollow": "gdwatch/root/test_folder_handles.py",
    "gdwatch.files.durability": "gdwatch/root/test_folder_handles.py",
    "gdwatch.files.identity": "gdwatch/intake/test_opening.py",
    "gdwatch.filing.copying": "gdwatch/filing/test_move.py",
    "gdwatch.filing.placement": "gdwatch/filing/test_record_decisions.py",
    "gdwatch.filing.renaming": "gdwatch/filing/test_move.py",
    "gdwatch.filing.staying": "gdwatch/ledger/test_originals.py",
    "gdwatch.inference.model": "gdwatch/inference/test_model_file.py",
    "gdwatch.inference.crop_geometry": "gdwatch/inference/test_crop.py",
    "gdwatch.intake.folder_watch": "gdwatch/intake/test_watcher.py",
    "gdwatch.intake.settling": "gdwatch/intake/test_inbox.py",
    "gdwatch.jobs.classify": "test_commands.py",
    "gdwatch.jobs.effective": "test_commands.py",
    "gdwatch.jobs.contained": "gdwatch/jobs/test_explain.py",
    "gdwatch.commands.undo": "faults/test_everyday_acts.py",
    "gdwatch.jobs.drop_probe": "faults/test_drop_rights.py",
    "gdwatch.jobs.init": "faults/test_drop_rights.py",
    "gdwatch.jobs.named_files": "gdwatch/jobs/test_verdicts.py",
    "gdwatch.jobs.undo": "gdwatch/jobs/test_verdicts.py",
    "gdwatch.jobs.rejudge": "test_commands.py",
    "gdwatch.ledger.connection": "gdwatch/ledger/test_ledger.py",
    "gdwatch.ledger.opening": "gdwatch/ledger/test_ledger.py",
    "gdwatch.ledger.queries": "gdwatch/ledger/test_ledger.py",
    "gdwatch.ledger.rules": "gdwatch/ledger/test_ledger.py",
    "gdwatch.ledger.rows": "gdwatch/ledger/test_ledger.py",
    "gdwatch.ledger.prepared_statements": "gdwatch/ledger/test_ledger.py",
    "gdwatch.ledger.tables": "gdwatch/ledger/test_ledger.py",
    "gdwatch.ledger.transaction": "gdwatch/ledger/test_ledger.py",
    "gdwatch.ledger.view": "gdwatch/commands/test_export.py",
    "gdwatch.networks.classifier": "gdwatch/inference/test_device.py",
    "gdwatch.networks.pooled": "gdwatch/networks/test_quantised.py",
    "gdwatch.networks.surroundings": "gdwatch/networks/test_two_inputs.py",
    "gdwatch.networks.registry": "gdwatch/inference/test_model_file.py",
    "gdwatch.networks.residual": "gdwatch/networks/test_fused.py",
    "gdwatch.networks.seed_classifier": "train/export/test_import_seed.py",
    "gdwatch.pipeline.engine_deaths": "gdwatch/pipeline/test_pipeline.py",
    "gdwatch.pipeline.model_swap": "gdwatch/pipeline/test_pipeline.py",
    "gdwatch.pipeline.drain": "gdwatch/pipeline/test_pipeline.py",
    "gdwatch.pipeline.engine_client": "gdwatch/pipeline/test_pipeline.py",
    "gdwatch.pipeline.task": "gdwatch/pipeline/test_pipeline.py",
    "gdwatch.pipeline.worker_pool": "gdwatch/pipeline/test_pipeline.py",
    "gdwatch.processes.parent": "gdwatch/processes/test_child.py",
    "gdwatch.processes.slots": "gdwatch/processes/test_worker.py",
    "gdwatch.root.drop_rights": "faults/test_drop_rights.py",
    "gdwatch.root.status_file": "test_commands.py",
    "gdwatch.service.capabilities": "faults/test_drop_rights.py",
    "gdwatch.service.announcements": "test_service.py",
    "gdwatch.service.loop": "test_service.py",
    "gdwatch.service.hand_moves": "test_service.py",
    "gdwatch.service.conditions": "test_service.py",
    "gdwatch.service.metrics": "gdwatch/service/test_metrics_server.py",
    "gdwatch.service.observed": "gdwatch/service/test_metrics_server.py",
    "gdwatch.service.progress": "test_service.py",
    "gdwatch.commands.ui": "gdwatch/ui/test_server.py",
    "gdwatch.ui.access": "gdwatch/ui/test_guard.py",
    "gdwatch.ui.app": "gdwatch/ui/test_guard.py",
    "gdwatch.ui.explaining": "gdwatch/ui/test_explanation.py",
    "gdwatch.ui.one": "gdwatch/ui/test_pages.py",
    "gdwatch.ui.overview": "gdwatch/ui/test_pages.py",
    "gdwatch.ui.patience": "gdwatch/ui/test_guard.py",
    "gdwatch.ui.pictures": "gdwatch/ui/test_guard.py",
    "gdwatch.ui.sign_in": "gdwatch/ui/test_guard.py",
    "gdwatch.ui.served": "gdwatch/service/test_page.py",
    "gdwatch.ui.site": "gdwatch/ui/test_guard.py",
    "gdwatch.ui.wishes": "gdwatch/ui/test_review.py",
    "gdwatch.jobs.story": "gdwatch/commands/test_show.py",
    "gdwatch.values": "gdwatch/pipeline/test_decide.py",
    "gdwatch.utf8_mode": "test_wheel.py",
}

MODULES = sorted(file for file in PACKAGE.rglob("*.py") if file.name != "__init__.py")


def name_of(file: Path) -> str:
    """`gdwatch/files/walk.py` → `gdwatch.files.walk`."""
    return ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)


NAMES = {name_of(file) for file in MODULES}


def room_of(module: str) -> str:
    return module.split(".")[1]


def imported_by(file: Path) -> Iterator[str]:
    """The modules of ours that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in NAMES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module in NAMES:
                yield node.module
            yield from (
                f"{node.module}.{each.name}"
                for each in node.names
                if f"{node.module}.{each.name}" in NAMES
            )


IMPORTS = {name_of(file): set(imported_by(file)) for file in MODULES}


def test_the_imports_are_read() -> None:
    assert IMPORTS["gdwatch.service.loop"] >= {"gdwatch.errors", "gdwatch.pipeline.pipeline"}
    assert sum(map(len, IMPORTS.values())) > 300


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_a_room_imports_only_what_it_may(module: str) -> None:
    rooms = {room_of(each) for each in IMPORTS[module]}
    assert rooms - {room_of(module)} <= MAY_IMPORT[room_of(module)]


def test_every_room_is_in_the_table() -> None:
    assert {room_of(module) for module in NAMES} == MAY_IMPORT.keys()


def test_no_modules_import_each_other_in_a_circle() -> None:
    left = {module: set(imports) for module, imports in IMPORTS.items()}
    while free := [module for module, imports in left.items() if not imports & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


def test_only_the_command_line_imports_for_the_types_alone() -> None:
    """`--help` must load next to nothing; elsewhere such an import would only hide a circle."""
    hiding = [file for file in MODULES if "TYPE_CHECKING" in file.read_text()]
    assert list(map(name_of, hiding)) == ["gdwatch.commands.options"]


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("__init__.py")), ids=str)
def test_a_package_is_a_docstring_and_nothing_else(file: Path) -> None:
    docstring, *others = ast.parse(file.read_text()).body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    if file.parent != PACKAGE:
        assert others == []


def own_tests(module: str) -> Path:
    *room, name = module.split(".")[1:]
    return TESTS.joinpath(*room, f"test_{name}.py")


@pytest.mark.parametrize("module", sorted(NAMES))
def test_every_module_has_its_tests_or_a_line_that_says_where(module: str) -> None:
    has_own = own_tests(module).is_file()
    assert has_own != (module in TESTED_IN), module
    if not has_own:
        assert (TESTS.parent / TESTED_IN[module]).is_file()


def test_every_line_that_says_where_is_of_a_module() -> None:
    assert TESTED_IN.keys() <= NAMES
