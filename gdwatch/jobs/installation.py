"""Every condition of a healthy installation, each tried: what `gdwatch doctor` tells of."""

import errno
import os
import shlex
import shutil
import socket
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from gdwatch.errors import GdwatchError
from gdwatch.files.mounts import on_network
from gdwatch.files.users import name_of
from gdwatch.filing.linking import require_links
from gdwatch.filing.renaming import rename_or_link
from gdwatch.inference import model_file
from gdwatch.intake.watcher import Watch
from gdwatch.jobs.drop_probe import try_drop_rights
from gdwatch.ledger.connection import url_of
from gdwatch.ledger.opening import open_to_read
from gdwatch.pipeline.capacity import Capacity
from gdwatch.pipeline.pipeline import Pipeline
from gdwatch.root import lock, root_id, status_file
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.root.status_file import Status
from gdwatch.settings import MIB, Settings
from gdwatch.values import OUTCOMES

_PROBE = ".gdwatch-probe-"
_START_S = 120.0
_LOOK_S = 0.1  # between looks at a watch that starts
HOOKS = ("on_rejected", "on_unsure", "on_paused", "daily")


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
    slow = [name for name in OUTCOMES if not _is_renamed(folders, folders.answers[name])]
    if slow:
        raise GdwatchError(
            f"inbox and {', '.join(slow)} lie on two file systems or mounts",
            "moves are copies then, which work but are slow: put all folders below one parent",
        )
    return "moves work from the inbox to every answer folder"


def _is_renamed(folders: Folders, answer: bytes) -> bool:
    """Move a probe as photographs are moved; False if the two lie on two file systems.

    Raises GdwatchError.
    """
    source, target = Path(os.fsdecode(folders.inbox)), Path(os.fsdecode(answer))
    try:
        descriptor, probe = tempfile.mkstemp(prefix=_PROBE, dir=source)
    except OSError as error:
        raise _not_writable(source, error) from error
    os.close(descriptor)
    moved = target / Path(probe).name
    try:
        with Handles(folders) as handles:
            one, other = (handles.parent(os.fsencode(path)) for path in (probe, moved))
            rename_or_link(one, other, Path(probe).stat())
    except OSError as error:
        if error.errno == errno.EXDEV:
            return False
        if error.errno == errno.EPERM:
            raise GdwatchError(
                f"{target}: {error.strerror}",
                "put `root` on a file system that has one of them, such as ext4, XFS, Btrfs or NFS",
            ) from error
        raise _not_writable(target, error) from error
    finally:
        Path(probe).unlink(missing_ok=True)
        moved.unlink(missing_ok=True)
    return True


def _not_writable(folder: Path, error: OSError) -> GdwatchError:
    user = name_of(os.geteuid())
    return GdwatchError(
        f"{folder}: {(error.strerror or str(error)).lower()}, tried as {user}",
        f"let {user} write there: sudo chown {user} {shlex.quote(str(folder))}",
    )


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
    if (told := _told(settings)) is not None and told.unwatched:
        raise GdwatchError(
            f"{told.unwatched} folders of the inbox are beyond the kernel's limit, and are listed",
            f"{told.watch_remedy}; the service notices within a minute",
        )
    # The folders below the inbox are the service's to watch: there may be no room for both.
    with closing(Watch(inbox, settings.watch, recursive=told is None)) as watch:
        watch.keep()
        while watch.is_starting:
            time.sleep(_LOOK_S)
            watch.keep()
        if watch.is_polling:
            return "polling"
        if watch.unwatched:
            raise GdwatchError(
                f"{watch.unwatched} folders of the inbox are beyond the kernel's limit",
                f"{watch.remedy()}; else they are only listed",
            )
        watch.clear()
        with tempfile.NamedTemporaryFile(prefix=_PROBE, dir=os.fsdecode(inbox)):
            woken = _becomes_readable(watch.waker)
    if not woken:
        raise GdwatchError(
            "no event came for a new file",
            "set `watch` to poll, or raise fs.inotify.max_user_watches",
        )
    return "the kernel tells of new files"


def _told(settings: Settings) -> Status | None:
    """What the running service says of itself; None if none runs."""
    state = Folders.of(settings).state
    return status_file.read(state) if lock.is_held(state) else None


def _becomes_readable(channel: socket.socket) -> bool:
    channel.settimeout(5.0)
    try:
        return bool(channel.recv(1))
    except TimeoutError:
        return False


def _hooks(settings: Settings) -> str:
    """Look whether the commands that are set can be started. Raises GdwatchError."""
    commands = {name: words[0] for name in HOOKS if (words := getattr(settings, name))}
    for name, program in commands.items():
        if shutil.which(program) is None:
            raise GdwatchError(
                f"{name}: {program}: no such program, or {name_of(os.geteuid())} may not start it",
                f"correct it, or take {name} out of the settings; "
                f"who may start it: sudo namei --long {shlex.quote(program)}",
            )
    return ", ".join(commands) or "none"


def _metrics(settings: Settings) -> str:
    """Listen where the service would; where it listens already, ask. Raises GdwatchError."""
    host, port = settings.metrics_host, settings.metrics_port
    if port is None:
        return "not told: metrics_port is not set"
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as a server does
            tried.bind(address)
    except (OSError, UnicodeError) as error:
        is_ours = lock.is_held(Folders.of(settings).state)
        if is_ours and getattr(error, "errno", None) == errno.EADDRINUSE:
            return f"are told at {host}:{port}"  # else the service would not have started
        why = getattr(error, "strerror", None) or str(error)
        raise GdwatchError(
            f"metrics_host {host}, metrics_port {port}: {why.lower()}",
            "set metrics_port to a free port, or end the program that has it: "
            f"sudo ss -ltnp sport = {port}",
        ) from error
    return f"can be told at {host}:{port}"


CHECKS: dict[str, Callable[[Settings], str]] = {
    "user": _user,
    "versions": _versions,
    "root": _root,
    "moves": _moves,
    "drop rights": try_drop_rights,
    "space": _space,
    "service": _service,
    "ledger": _ledger,
    "model": _model,
    "engine": _engine,
    "notifications": _notifications,
    "hooks": _hooks,
    "metrics": _metrics,
}
