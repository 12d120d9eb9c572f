"""`gdwatch doctor`: check every condition of a healthy installation, and say what to do."""

import json
import os
import pwd
import re
import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from gdwatch.commands.output import print_json
from gdwatch.errors import GdwatchError
from gdwatch.files.users import name_of
from gdwatch.jobs.bench import Bench
from gdwatch.jobs.bench import bench as measure
from gdwatch.jobs.drop_probe import try_drop_rights
from gdwatch.jobs.effective import effective
from gdwatch.jobs.installation import CHECKS
from gdwatch.root import lock
from gdwatch.root.folders import Folders
from gdwatch.settings import Loaded, Settings


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
        for name, check in {**CHECKS, "page": _page}.items()
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
        "space": f"du -xsh {root}/*",
        "ledger": call("db upgrade") if "upgrade" in finding.todo else call("db check"),
        "model": f"{call('doctor')} --set model=auto",
        "engine": call("model verify"),
        "page": "pip install 'gdwatch[ui]'"
        if "pip" in finding.todo
        else f"sudo ss --listening --tcp --processes 'sport = {settings.ui_port}'",
        "notifications": "sudo sysctl fs.inotify.max_user_watches=1048576",
    }
    if belongs := re.search(r"sudo -u (\S+) ", finding.todo):
        remedy = f"sudo -u {belongs[1]} {call('doctor')}"
    elif told := re.search(r"\bsudo [^;]+", finding.todo):
        remedy = told[0]
    else:
        remedy = remedies.get(finding.name, "")
    return replace(finding, remedy=remedy or call("doctor"))


def _run_check(name: str, check: Callable[[Settings], str], settings: Settings) -> Finding:
    try:
        return Finding(name, check(settings))
    except GdwatchError as error:
        return Finding(name, error.message, error.hint or "see above")
    except OSError as error:
        return Finding(name, str(error), "look after this file or folder")


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
