"""`gdwatch doctor`: check every condition of a healthy installation, and say what to do."""

import errno
import json
import os
import pwd
import re
import shlex
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gdwatch.commands.output import print_json
from gdwatch.errors import GdwatchError
from gdwatch.files.mounts import on_network
from gdwatch.files.users import name_of
from gdwatch.filing.linking import require_links
from gdwatch.filing.renaming import rename_or_link
from gdwatch.inference import model_file
from gdwatch.intake.watcher import Watch
from gdwatch.jobs.bench import Bench
from gdwatch.jobs.bench import bench as measure
from gdwatch.jobs.drop_probe import try_drop_rights
from gdwatch.jobs.effective import effective
from gdwatch.ledger.connection import url_of
from gdwatch.ledger.opening import open_to_read
from gdwatch.pipeline.capacity import Capacity
from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.root import lock, root_id
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.settings import MIB, Loaded, Settings
from gdwatch.values import OUTCOMES

_PROBE = ".gdwatch-probe-"
_START_S = 120.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    what: what was found. todo: what to do, and remedy: a command that does it or shows more; both
    are empty if all is well.
    """

    name: str
    what: str
    todo: str = ""
    remedy: str = ""


def doctor(
    loaded: Loaded,
    *,
    json_: bool,
    bench: bool = False,
    call: Callable[[str], str] = "gdwatch {}".format,
) -> int:
    """Print the findings and the settings in force; return 78 if a person must act, else 0.

    bench: also measure the throughput of this machine. call: how a person calls another command
        with these options, for the remedies.
    """
    settings = loaded.settings
    user = _service_user(settings)
    findings = [
        _as_user(
            os.geteuid() if check is try_drop_rights else user,  # it becomes others by itself
            name,
            partial(_run_check, name, check, settings),
        )
        for name, check in _CHECKS.items()
    ]
    measured = None
    if bench:
        try:
            measured = measure(settings)
        except GdwatchError as error:
            findings.append(Finding("bench", error.message, error.hint or "see above"))
    findings = [_with_remedy(each, settings, call) if each.todo else each for each in findings]
    values = effective(settings)
    if json_:
        print_json(
            {
                "findings": [asdict(finding) for finding in findings],
                "settings": {
                    name: {"value": value, "from": loaded.origins[name]}
                    for name, value in values.items()
                },
                **({"bench": asdict(measured)} if measured else {}),
            }
        )
    else:
        _print(values, loaded, findings)
        if measured:
            _print_bench(measured)
    return 78 if any(finding.todo for finding in findings) else 0


def _service_user(settings: Settings) -> int:
    """The user who owns the root, as far as this process may become that user; else the own one."""
    try:
        owner = Folders.of(settings).state.stat().st_uid
    except (OSError, GdwatchError):
        return os.geteuid()
    return owner if os.geteuid() == 0 else os.geteuid()


def _as_user(uid: int, name: str, check: Callable[[], Finding]) -> Finding:
    """Run a check as another user, in a process of its own."""
    if uid == os.geteuid():
        return check()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _become(uid)
            finding = check()
        except Exception as error:  # handed over: this process must not go on as its parent
            hint = f"let {name_of(uid)} read all that gdwatch is installed with"
            finding = Finding(name, f"{type(error).__name__}: {error}", hint)
        os.write(writing, json.dumps(asdict(finding)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    os.waitpid(child, 0)
    if not said:
        return Finding(name, "the check ended without an answer", "see above")
    return Finding(**json.loads(said))


def _become(uid: int) -> None:
    try:
        user = pwd.getpwuid(uid)
        os.initgroups(user.pw_name, user.pw_gid)
        group = user.pw_gid
    except KeyError:  # a user without a name, as in containers
        group = uid
        os.setgroups([])
    os.setgid(group)
    os.setuid(uid)


def _with_remedy(finding: Finding, settings: Settings, call: Callable[[str], str]) -> Finding:
    """Add the command that mends what was found, or that shows what stands in the way."""
    root = shlex.quote(str(settings.root.absolute()))
    user = name_of(_service_user(settings))
    remedies = {
        "root": f"sudo install -d -o {user} {root}",
        "moves": f"df {root}/*",
        "drop rights": finding.todo.partition(";")[0],
        "space": f"du -xsh {root}/*",
        "ledger": call("db upgrade") if "upgrade" in finding.todo else call("db check"),
        "model": f"{call('doctor')} --set model=auto",
        "engine": call("model verify"),
        "page": "pip install 'gdwatch[ui]'"
        if "pip" in finding.todo
        else f"sudo ss --listening --tcp --processes 'sport = {settings.ui_port}'",
        "notifications": "sudo sysctl fs.inotify.max_user_watches=1048576",
    }
    belongs = re.search(r"sudo -u (\S+) ", finding.todo)
    remedy = f"sudo -u {belongs[1]} {call('doctor')}" if belongs else remedies.get(finding.name, "")
    return replace(finding, remedy=remedy or call("doctor"))


def _run_check(name: str, check: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(name, check(settings))
    except GdwatchError as error:
        return Finding(name, error.message, error.hint or "see above")
    except OSError as error:
        return Finding(name, str(error), "look after this file or folder")


def _print(values: dict[str, Any], loaded: Loaded, findings: list[Finding]) -> None:
    """Print whole lines: nothing is cut, at a terminal or in a pipe."""
    for finding in findings:
        mark = "mend" if finding.todo else "ok"
        print(f"{mark:<5} {finding.name:<14} {finding.what}")
        if finding.todo:
            print(f"{'':<20} {finding.todo}\n{'':<20} $ {finding.remedy}")
    print()
    width = max(map(len, values))
    for name, value in values.items():
        origin = loaded.origins[name]
        print(
            f"{name:<{width}}  {_shown(value)}" + ("" if origin == "default" else f"  ({origin})")
        )


def _shown(value: object) -> str:
    match value:
        case None | [] | ():
            return "none"
        case list() | tuple():
            return " ".join(map(str, value))
    return str(value)


def _print_bench(measured: Bench) -> None:
    table = Table("photographs", "a second", "workers busy", "engine busy", "bounded by", box=None)
    for speed in measured.speeds:
        table.add_row(
            f"JPEG, {speed.side} px",
            f"{speed.photographs_a_second:.0f}",
            f"{speed.decoding:.0%}",
            f"{speed.judging:.0%}",
            speed.bound,
        )
    console = Console()
    console.print(table)
    console.print(
        f"on {measured.device}, with workers = {measured.workers}, {measured.engines} judging, "
        f"batch_size = {measured.batch_size}; recording and moving come on top"
    )


# ------------------------------------------------------------------------- the checks


def _user(_: Settings) -> str:
    return f"tried as {name_of(os.geteuid())}"


def _versions(_: Settings) -> str:
    found = [f"{name} {version(name)}" for name in ("torch", "pillow", "sqlalchemy")]
    return ", ".join((f"gdwatch {version('gdwatch')}", *found, f"SQLite {sqlite3.sqlite_version}"))


def _root(settings: Settings) -> str:
    folders = Folders.of(settings)
    if not folders.state.is_dir():
        parent = next(path for path in folders.state.parents if path.is_dir())
        if not os.access(parent, os.W_OK):
            raise GdwatchError(f"{parent}: cannot be written", "make it writable, or set `root`")
        return f"{os.fsdecode(folders.root)}: not there yet, `gdwatch run` makes it"
    root_id.require_own(folders)
    lock.require_ours(folders.state)
    return f"{os.fsdecode(folders.root)}: {root_id.read_id(folders)}"


def _moves(settings: Settings) -> str:
    """Rename a probe file from the inbox to each answer folder. Raises GdwatchError."""
    folders = Folders.of(settings)
    if not folders.state.is_dir():
        return "not there yet"
    if settings.mode == "copy":
        return "mode copy: photographs stay in the inbox, and their copies are filed"
    if settings.mode == "link":
        require_links(folders)
        return "mode link: hard links work from the inbox to every answer folder"
    slow = []
    for outcome in OUTCOMES:
        source = Path(os.fsdecode(folders.inbox))
        target = Path(os.fsdecode(folders.answers[outcome]))
        descriptor, probe = tempfile.mkstemp(prefix=_PROBE, dir=source)
        os.close(descriptor)
        moved = target / Path(probe).name
        try:
            _move(Path(probe), moved, folders)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise GdwatchError(
                    f"{target}: {(error.strerror or str(error)).lower()}",
                    "make it writable for the service, or put `root` on another file system",
                ) from error
            slow.append(outcome)
        finally:
            Path(probe).unlink(missing_ok=True)
            moved.unlink(missing_ok=True)
    if slow:
        raise GdwatchError(
            f"inbox and {', '.join(slow)} lie on two file systems or mounts",
            "moves are copies then, which work but are slow: put all folders below one parent",
        )
    return "renames work from the inbox to every answer folder"


def _move(source: Path, target: Path, folders: Folders) -> None:
    """Move a file as photographs are moved within a file system. Raises OSError."""
    with Handles(folders) as handles:
        one, other = (handles.parent(os.fsencode(path)) for path in (source, target))
        rename_or_link(one, other, source.stat())


def _space(settings: Settings) -> str:
    path = next(p for p in (settings.root, *settings.root.resolve().parents) if p.is_dir())
    free_mb = shutil.disk_usage(path).free // MIB
    if free_mb < settings.min_free_mb:
        raise GdwatchError(
            f"{free_mb} MiB free", f"make room: min_free_mb is {settings.min_free_mb}"
        )
    return f"{free_mb} MiB free"


def _service(settings: Settings) -> str:
    return "runs" if lock.is_held(Folders.of(settings).state) else "does not run"


def _page(settings: Settings) -> str:
    """Check what `gdwatch run` needs to serve the page. Raises GdwatchError."""
    if settings.ui_port is None:
        return "not served by the service: ui_port is not set"
    try:
        from gdwatch.ui import server
    except ModuleNotFoundError as error:
        raise GdwatchError(f"{error.name} is not installed", "pip install 'gdwatch[ui]'") from error
    if lock.is_held(Folders.of(settings).state) and server.is_served(settings):
        return f"is served on port {settings.ui_port}"
    return f"can be served at {server.require_servable(settings)}"


def _ledger(settings: Settings) -> str:
    url = settings.database or f"{settings.root}/results.db"
    if settings.database is None and not Path(url).is_file():
        return "not there yet, `gdwatch run` makes it"
    if settings.database is None and on_network(os.fsencode(settings.root)):
        raise GdwatchError(
            f"{url}: on a network file system, where SQLite's locks do not hold",
            "set `database` to a file on a local disk",
        )
    folders = Folders.of(settings)
    uuid = None if root_id.is_missing(folders) else root_id.read_id(folders)
    open_to_read(settings, uuid).close()
    return f"{url_of(settings).render_as_string(hide_password=True)}: ours, up to date"


def _model(settings: Settings) -> str:
    return "; then ".join(
        f"{file.details.name} {file.details.version}, {file.sha256[:12]}, {file.path}"
        for file in model_file.read_models(settings.model, settings.crop)
    )


def _engine(settings: Settings) -> str:
    """Start the workers and the engine, and wait for the engine's self-test."""
    began = time.monotonic()
    with closing(Pipeline(settings)) as pipeline:
        while not pipeline.ready and time.monotonic() - began < _START_S:
            pipeline.turn(timeout_s=1.0)
        if not pipeline.ready:
            raise GdwatchError("the engine does not start", "try `gdwatch model verify`")
        took_s = time.monotonic() - began
        return f"self-test passed on {pipeline.device} after {took_s:.1f} s; " + _batches(
            pipeline.capacity
        )


def _batches(capacity: Capacity) -> str:
    """Say how many photographs are really judged together."""
    if capacity.batch_size == capacity.wanted_batch_size:
        return f"it judges up to {capacity.batch_size} photographs together"
    return (
        f"it judges up to {capacity.batch_size} photographs together, not "
        f"{capacity.wanted_batch_size}: no more fit into the memory for decoded ones, as large as "
        "this model wants them"
    )


def _notifications(settings: Settings) -> str:
    """Create a probe file in the inbox, and wait for its event. Raises GdwatchError."""
    inbox = Folders.of(settings).inbox
    if not Path(os.fsdecode(inbox)).is_dir():
        return "not there yet"
    if settings.mode != "move" and not os.access(inbox, os.W_OK):
        return "not tried: the inbox may only be read"
    with closing(Watch(inbox, settings.watch)) as watch:
        watch.keep()
        if watch.is_polling:
            return "polling"
        watch.clear()
        with tempfile.NamedTemporaryFile(prefix=_PROBE, dir=os.fsdecode(inbox)):
            woken = _becomes_readable(watch.waker)
    if not woken:
        raise GdwatchError(
            "no event came for a new file",
            "set `watch` to poll, or raise fs.inotify.max_user_watches",
        )
    return "the kernel tells of new files"


def _becomes_readable(channel: socket.socket) -> bool:
    channel.settimeout(5.0)
    try:
        return bool(channel.recv(1))
    except TimeoutError:
        return False


_CHECKS: dict[str, Callable[[Settings], str]] = {
    "user": _user,
    "versions": _versions,
    "root": _root,
    "moves": _moves,
    "drop rights": try_drop_rights,
    "space": _space,
    "service": _service,
    "page": _page,
    "ledger": _ledger,
    "model": _model,
    "engine": _engine,
    "notifications": _notifications,
}
