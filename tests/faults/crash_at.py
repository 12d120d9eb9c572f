"""Runs the real command with named functions replaced by "kill me here", and the like.

What it waits for while others mend what is wrong takes a tenth of the time here.

    python -m tests.faults.crash_at PLAN          one command, in an interpreter of its own
    python -m tests.faults.crash_at --serve       a command for each line of standard input, each
                                                  in a process forked from here, which has all
                                                  modules at hand: a start costs hundredths

A plan is JSON, see `launch.Plan`. The product knows nothing of any of this.
"""

import ast
import ctypes
import dataclasses
import errno
import functools
import gc
import importlib
import inspect
import json
import os
import select
import signal
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1  # no run outlives the tests
ENGINE, STUB = "gdwatch.processes.engine", "tests.faults.stub_engine"

# Where a run can be hit, by the steps of a batch; `os.` is the module as seen by that one.
# Of several, the calls are counted together.
POINTS: Mapping[str, str | tuple[str, ...]] = {
    "C0.root": "gdwatch.root.root_id:prepare",
    "C0.schema": "gdwatch.ledger.migration:upgrade",
    "C0.ledger": "gdwatch.ledger.opening:open_ledger",
    "C0.recover": "gdwatch.service.filer:Filer.file_pending",
    "C1.list": "gdwatch.intake.inbox:Inbox.ready",
    "C1.look": "gdwatch.intake.inbox:Inbox._look_at",
    "C3.open": "gdwatch.service.loop:open_drop",
    "C4.give": "gdwatch.pipeline.pipeline:Pipeline.offer",
    "C4.decoded": "gdwatch.pipeline.worker_pool:WorkerPool.finish",
    "C4.sync": "gdwatch.files.durability:sync_contents",
    "C5.judge": "gdwatch.pipeline.engine_client:Engine.judge",
    "C5.decide": "gdwatch.pipeline.decide:decide",
    "C5.choose": (
        "gdwatch.filing.placement:choose",
        "gdwatch.filing.record_decisions:choose",
        "gdwatch.filing.pending_moves:choose",
        "gdwatch.jobs.undo:choose",
    ),
    "C6.record": "gdwatch.service.filer:record",
    "C6.insert": "gdwatch.ledger.transaction:Transaction.insert_files",
    "C6.recognise": "gdwatch.ledger.originals:recognise",
    "C6.results": "gdwatch.ledger.transaction:Transaction.insert_results",
    "C6.commit": "sqlalchemy.engine.default:DefaultDialect.do_commit",
    "C7.move": "gdwatch.filing.move:move",
    "C7.rename": "gdwatch.filing.renaming:_rename",
    "C7.link": "gdwatch.filing.renaming:_link",
    "C7.copy": "gdwatch.filing.move:file_copy",
    "C7.second": "gdwatch.filing.move:file_link",
    "C7.elsewhere": "gdwatch.filing.pending_moves:_Round._send_elsewhere",
    "C8.sync": "gdwatch.root.folder_handles:Handles.sync",
    "C8.fsync": "gdwatch.files.durability:os.fsync",
    "C8.mkdir": "gdwatch.root.folder_handles:os.mkdir",
    "C9.mark": "gdwatch.ledger.transaction:Transaction.mark_filed",
    "C9.remember": "gdwatch.ledger.originals:remember",
    "C9.restored": "gdwatch.ledger.transaction:Transaction.mark_restored",
    "C9.kept": "gdwatch.ledger.transaction:Transaction.mark_not_restored",
    "C9.filed": "gdwatch.service.filer:file_entries",
    "X.copy": "gdwatch.filing.move:move_by_copy",
    "X1.open": "gdwatch.filing.copying:_publish_copy",
    "X2.write": "gdwatch.filing.copying:_write_all",
    "X2.digest": "gdwatch.filing.copying:digest",
    "X3.mode": "gdwatch.filing.copying:os.fchmod",
    "X3.times": "gdwatch.filing.copying:os.utime",
    "X3.fsync": ("gdwatch.filing.copying:make_durable", "gdwatch.filing.renaming:make_durable"),
    "X4.link": ("gdwatch.filing.copying:os.link", "gdwatch.filing.renaming:os.link"),
    "X6.unlink": "gdwatch.filing.renaming:os.unlink",
    "W.wish": ("gdwatch.filing.placement:send", "gdwatch.jobs.rejudge:send"),
    "W.correct": "gdwatch.ledger.transaction:Transaction.correct",
    "W.see": "gdwatch.filing.move_requests:file_or_wait",
    "W.filed": "gdwatch.filing.move_requests:file_pending",
    "W.hand": "gdwatch.filing.found_files:_follow",
    "W.restore": "gdwatch.jobs.restore:_request",
    "W.undo": "gdwatch.jobs.undo:_take_back",
    "W.current": "gdwatch.jobs.rejudge:Rejudging._make_current",
    "A.note": "gdwatch.service.completed_files:CompletedFiles.note",
    "A.ready": "gdwatch.service.completed_files:CompletedFiles.ready",
    "A.record": "gdwatch.filing.record_decisions:_judge_again",
}
WAITS = (
    "gdwatch.service.filer:_PENDING_S",
    "gdwatch.service.loop:_LONGEST_TURN_S",
    "gdwatch.service.conditions:_LOOK_S",
)
MODULES = (
    "gdwatch.cli", "gdwatch.service.loop", "gdwatch.jobs.rejudge", "gdwatch.filing.move_requests",
    "gdwatch.ledger.queries",
    "gdwatch.commands.correct", "gdwatch.commands.undo", "gdwatch.commands.requeue",
    "gdwatch.commands.restore",
    "gdwatch.commands.reprocess",
    "sqlalchemy.dialects.sqlite", "alembic.command",
)  # fmt: skip


def replace(target: str, wrapped: Callable[[Any], Any]) -> None:
    """Put `wrapped(original)` in the place of `module:attribute` or `module:Class.attribute`.

    A module reached through another one, `gdwatch.filing.renaming:os.link`, is replaced there
    alone.
    """
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *steps, name = path.split(".")
    for step in steps:
        inner = getattr(owner, step)
        if isinstance(inner, types.ModuleType) and not hasattr(inner, "__is_ours__"):
            copy = types.ModuleType(inner.__name__)
            copy.__dict__.update(inner.__dict__, __is_ours__=True)
            setattr(owner, step, copy)
            inner = copy
        owner = inner
    setattr(owner, name, wrapped(getattr(owner, name)))


def replace_noted(target: str, wrapped: Callable[[Any], Any], notes: Path) -> None:
    """Do the same, and write down that it was done, and that what stands there now was reached.

    notes: gets a line `planted TARGET`, and `reached TARGET` at the first call. A constant cannot
    tell: it counts as reached where the module's own code reads it.

    Raises AttributeError where there is nothing to replace, AssertionError for a constant that
    nothing reads.
    """

    def noting(original: Any) -> Any:
        made = wrapped(original)
        if not callable(original):
            assert _is_read(target), f"nothing reads {target}"
            note(notes, "reached", target)
            return made

        @functools.wraps(original, updated=())
        def noted(*given: Any, **named: Any) -> Any:
            if not is_reached:
                is_reached.append(True)
                note(notes, "reached", target)
            return made(*given, **named)

        is_reached: list[bool] = []
        return noted

    replace(target, noting)
    note(notes, "planted", target)


def note(notes: Path, what: str, target: str) -> None:
    """Write a line down at once: the next step may be a kill."""
    with notes.open("a") as file:
        file.write(f"{what} {target}\n")


def _is_read(target: str) -> bool:
    """Whether the code of a module reads a name of its own, or of a module that it imports."""
    module, _, path = target.partition(":")
    name = path.rpartition(".")[2]
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    return any(
        isinstance(node, ast.Name | ast.Attribute)
        and isinstance(node.ctx, ast.Load)
        and (node.id if isinstance(node, ast.Name) else node.attr) == name
        for node in ast.walk(tree)
    )


def function(name: str) -> Callable[..., Any]:
    """The function that `module:function` names."""
    module, _, path = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), path)
    assert "torch" not in sys.modules, f"{module} imports torch, which takes seconds in every run"
    return found


def plant(fault: Mapping[str, Any], told: Path) -> None:
    """Let a fault happen before or after certain calls of one function, counted from 1."""
    at, when = fault["at"], fault["when"]
    first, last = fault["nth"], fault["until"]
    calls = 0

    def strike() -> None:
        with told.open("a") as file:
            file.write(f"{at} {when} {calls}\n")
        for act in fault["do"]:
            _do(act)

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def called(*given: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            hit = first <= calls and (last is None or calls <= last)
            if hit and when == "before":
                strike()
            try:
                return original(*given, **named)
            finally:
                if hit and when == "after":
                    strike()

        return called

    targets = POINTS.get(at, at)
    for target in (targets,) if isinstance(targets, str) else targets:
        replace(target, wrapped)


def _do(act: Any) -> None:
    """A signal to oneself (`SIGKILL`), an error of the system (`EIO`), or a call."""
    if isinstance(act, dict):
        function(act["call"])(**act["given"])
    elif hasattr(signal, act):
        os.kill(os.getpid(), getattr(signal, act))
    else:
        number = getattr(errno, act)
        raise OSError(number, os.strerror(number))


def use_stub() -> None:
    """Start the stub where the product starts its engine."""

    def wrapped(original: Any) -> Any:
        def child(module: str, *given: Any, **more: Any) -> Any:
            return original(STUB if module == ENGINE else module, *given, **more)

        return child

    replace("gdwatch.pipeline.engine_client:Child", wrapped)


def wait_less() -> None:
    """Try again ten times as often what did not work."""

    def wrapped(original: Callable[[Any, float], None]) -> Callable[[Any, float], None]:
        return lambda pause_state, seconds: original(pause_state, seconds / 10)

    replace("gdwatch.service.pause:PauseState._sleep", wrapped)
    for name in WAITS:
        replace(name, lambda seconds: seconds / 10)
    replace(
        "gdwatch.backoff:_DELAY",
        lambda delay: dataclasses.replace(delay, first_s=delay.first_s / 10),
    )


def run(plan: Mapping[str, Any]) -> None:
    """Become the command that a plan describes; never returns."""
    log = os.open(plan["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    answer = os.open(plan["answer"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((nothing, 0), (answer, 1), (log, 2)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(plan["folder"])
    for name, value in plan["environment"].items():
        os.environ[name] = value
    wait_less()
    if plan["engine"] == "stub":
        use_stub()
    for name, given in plan["before"]:
        function(name)(**given)
    for fault in plan["faults"]:
        plant(fault, Path(plan["told"]))
    sys.argv = ["gdwatch", *plan["words"]]
    from gdwatch import cli

    cli.main()


def serve() -> None:
    """Fork a command for each plan that comes in; say when it began and how it ended."""
    for module in MODULES:
        importlib.import_module(module)
    # A process that ends looks through all objects for cycles, and so copied every page of these.
    gc.collect()
    gc.freeze()
    bell, ring = os.pipe()
    os.set_blocking(ring, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ring, warn_on_full_buffer=False)
    rest = b""
    while True:
        ready, _, _ = select.select([0, bell], [], [])
        if bell in ready:
            os.read(bell, 4096)
            _tell_ended()
        if 0 in ready:
            read = os.read(0, 1 << 20)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                pid = os.fork()
                if pid == 0:
                    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    os.close(bell)
                    os.close(ring)
                    run(json.loads(line))
                _tell({"started": pid})


def _tell_ended() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _tell({"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def _tell(news: Mapping[str, int]) -> None:
    os.write(1, json.dumps(news).encode() + b"\n")


if __name__ == "__main__":
    # A shell that runs the tests in the background has it ignored, and its children with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.argv[1] == "--serve":
        serve()
    else:
        run(json.loads(Path(sys.argv[1]).read_bytes()))
