"""What tests are made from: photographs, models with known answers, roots, real processes."""

import contextlib
import hashlib
import io
import json
import os
import pty
import resource
import signal
import sqlite3
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gdwatch.files.identity import identity_of
from gdwatch.inference import model
from gdwatch.inference.model import Model
from gdwatch.inference.model_file import Details
from gdwatch.intake.inbox import Inbox
from gdwatch.networks.residual import ResidualClassifier
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import OUTCOMES, Drop, Serving

DEADLINE_S = 60.0
SIDE = 32
BRIGHT, DARK, GREY = 220, 30, 128

torch.set_num_threads(1)  # such networks only wait for a second one


# ------------------------------------------------------------------------- photographs


def pixels(number: int, level: int = BRIGHT, size: tuple[int, int] = (48, 40)) -> np.ndarray:
    """uint8 (height, width, 3): noise round a brightness; no two numbers are alike."""
    dice = np.random.default_rng(number)
    noise = dice.integers(-12, 13, (size[1], size[0], 3))
    return np.clip(level + noise, 0, 255).astype(np.uint8)


def photograph(
    number: int, level: int = BRIGHT, format_: str = "PNG", size: tuple[int, int] = (48, 40)
) -> bytes:
    """A small picture, no two numbers alike; bright ones are `male` to the model below."""
    return encode(Image.fromarray(pixels(number, level, size)), format_)


def encode(image: Image.Image, format_: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format_, **options)
    return stream.getvalue()


def slow_photograph() -> bytes:
    """Few bytes that take a worker about a second."""
    return encode(Image.new("RGB", (8000, 7500), (200, 200, 200)), "PNG")


def grace_hopper() -> bytes:
    """A real photograph (public domain, US Navy), as matplotlib ships it: JPEG, 512x600."""
    import matplotlib.cbook

    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        return file.read()


def astronaut() -> bytes:
    """A real photograph (public domain, NASA), as scikit-image ships it: PNG, 512x512."""
    import skimage

    return (Path(skimage.__file__).parent / "data" / "astronaut.png").read_bytes()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# ------------------------------------------------------------------------- models


def details(name: str = "brightness", **others: Any) -> Details:
    return Details.model_validate(
        {
            "format": 1,
            "name": name,
            "version": "1",
            "created": "2026-11-23",
            "locator": None,
            "classifier": {
                "arch": "residual",
                "arguments": {"stem": 4, "widths": [8], "blocks": [1]},
                "input": SIDE,
            },
            "preprocessing": {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]},
            "temperature": 1.0,
            "min_confidence": 0.9,
            "classes": ["female", "male"],
            "trained_on": {},
            "measures": {},
            "recipe": {},
            **others,
        }
    )


def located() -> Details:
    """Of a model with a locator and a crop round the face."""
    return details(
        locator={
            "arch": "pyramid",
            "arguments": {"stem": 4, "widths": [8, 8, 8], "blocks": [0, 0, 0], "head": 8,
                          "threshold": 0.5},
            "input": 160,
        },
        preprocessing={"margin": 1.4, "smallest_face": 10, "mean": [0, 0, 0], "std": [1, 1, 1]},
    )  # fmt: skip


def network(seed: int = 0) -> ResidualClassifier:
    """Random weights: the answers are worth nothing, but the same every time."""
    torch.manual_seed(seed)
    return ResidualClassifier(
        stem=4, widths=[8], blocks=[1], mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    ).eval()


def brightness_network(slope: float = 30.0) -> ResidualClassifier:
    """Weights by hand: logit = slope * (mean brightness - 0.5), so bright is `male`."""
    made = network()
    with torch.no_grad():
        for weight in (*(w for w in made.features.parameters() if w.dim() == 4), made.head.weight):
            weight.zero_()
        made.features[0][0].weight[0, :, 1, 1] = 1 / 3
        made.features[1][0].weight[0, 0, 1, 1] = 1.0
        made.head.weight[0, 0] = slope
        made.head.bias[0] = -slope / 2
    return made


def model_file(path: Path, *, slope: float = 30.0, **others: Any) -> Path:
    """A model file of the network that sees nothing but brightness."""
    model.save(path, Model(None, brightness_network(slope), details(**others), ""))
    return path


def serving(name: str = "brightness") -> Serving:
    """What a pipeline says of its model, without one."""
    return Serving(sha256(name.encode()), name, "1", {"name": name}, "crop=whole")


# ------------------------------------------------------------------------- roots


def make_root(path: Path) -> Path:
    for name in ("inbox", *OUTCOMES, ".gdwatch"):
        (path / name).mkdir(parents=True)
    return path


def make_settings(root: Path, **others: Any) -> Settings:
    return Settings(**{"root": root, "settle_ms": 50, **others})


def drop_of(path: Path) -> Drop:
    from datetime import UTC, datetime

    return Drop(os.fsencode(path), identity_of(path.lstat()), datetime.now(UTC))


def put(root: Path, name: str | bytes, content: bytes) -> Path:
    """Write a file into the inbox as `mv` would: whole, and by rename."""
    inbox = root / "inbox"
    target = Path(os.fsdecode(os.fsencode(inbox) + b"/" + os.fsencode(name)))
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = root / f"aside-{time.monotonic_ns()}"
    aside.write_bytes(content)
    aside.rename(target)
    return target


def rows(root: Path) -> list[dict[str, Any]]:
    """All rows of `files`, by id."""
    return query(root, "SELECT * FROM files ORDER BY id")


def query(root: Path, statement: str, *values: Any) -> list[dict[str, Any]]:
    database = root / "results.db"
    if not database.exists():
        return []
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        try:
            return [dict(row) for row in connection.execute(statement, values)]
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise


def contents(root: Path) -> dict[str, str]:
    """SHA-256 of every file in the inbox and the answer folders, by path below the root."""
    return {
        str(path.relative_to(root)): sha256(path.read_bytes())
        for name in ("inbox", *OUTCOMES)
        for path in (root / name).rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def waiting(root: Path) -> list[str]:
    return sorted(path for path in contents(root) if path.startswith("inbox/"))


# ------------------------------------------------------------------------- processes


def wait_until(condition: Callable[[], Any], what: str = "", deadline_s: float = DEADLINE_S) -> Any:
    """Look until it is so, and return what it is; fail after the deadline."""
    end = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {deadline_s} s: {what or condition}"
        time.sleep(0.02)
    return found


def environment(**variables: str) -> dict[str, str]:
    """Ours without the settings that a developer may have."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GDWATCH_")}
    return {**kept, **variables}


def arguments(root: Path, settings: Mapping[str, Any]) -> list[str]:
    given = [f"--set={name}={value}" for name, value in settings.items()]
    return [f"--root={root}", *given]


def gdwatch(
    *words: str | Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    **others: Any,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "gdwatch", *map(str, words)],
        cwd=cwd,
        env=env or environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        **others,
    )


def at_a_terminal(
    *words: str | Path, cwd: Path, stdout: Any = None, env: Mapping[str, str] | None = None
) -> str:
    """Run one command to its end at a terminal of 80 columns; returns what that shows.

    stdout: a file for standard output, if that is not the terminal, too.
    """
    screen, keyboard = pty.openpty()
    termios.tcsetwinsize(keyboard, (24, 80))
    process = subprocess.Popen(
        [sys.executable, "-m", "gdwatch", *map(str, words)],
        stdin=keyboard, stdout=stdout or keyboard, stderr=keyboard, cwd=cwd,
        env=environment(TERM="xterm", NO_COLOR="1", **(env or {})), start_new_session=True,
    )  # fmt: skip
    os.close(keyboard)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
        while more := os.read(screen, 65536):
            shown += more
    os.close(screen)
    assert process.wait(DEADLINE_S) == 0, shown.decode()
    return shown.decode()


@dataclass
class Service:
    """A running `gdwatch run`; its log goes to a file."""

    root: Path
    process: subprocess.Popen[bytes]
    log: Path

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """What it has logged, all of it or one kind of event."""
        found = []
        for line in self.log.read_text().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [each for each in found if not name or each.get("event") == name]

    def wait_until(self, condition: Callable[[], Any], what: str = "") -> Any:
        """Look until it is so, as long as the service runs."""

        def found() -> Any:
            runs = self.process.poll() is None
            answer = condition()
            assert answer or runs, self.log.read_text()
            return answer

        return wait_until(found, what)

    def wait_for(self, event: str) -> list[dict[str, Any]]:
        return self.wait_until(lambda: self.events(event), event)

    def wait_for_filed(self, *originals: str) -> dict[str, dict[str, Any]]:
        """The rows of these drops, by original path, once they are filed."""

        def filed() -> dict[str, dict[str, Any]]:
            found = {row["original_path"]: row for row in rows(self.root) if row["filed_at"]}
            return found if set(originals) <= found.keys() else {}

        return self.wait_until(filed, f"filed: {originals}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


@dataclass
class Services:
    """Starts services, and ends those that a test has left running."""

    model: Path
    started: list[Service] = field(default_factory=list)

    def start(self, root: Path, *words: str, env: Mapping[str, str] | None = None,
              **settings: Any) -> Service:  # fmt: skip
        given = {"model": self.model, "settle_ms": 50, "workers": 1, "min_free_mb": 1, **settings}
        log = root.with_name(f"{root.name}-{len(self.started)}.log")
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "gdwatch", "run", *words, *arguments(root, given)],
                cwd=root.parent,
                env=env or environment(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
            )
        service = Service(root, process, log)
        self.started.append(service)
        return service

    def once(self, root: Path, **settings: Any) -> Service:
        """Run `--once` to its end."""
        service = self.start(root, "--once", **settings)
        service.process.wait(100)
        return service

    @contextlib.contextmanager
    def ending(self) -> Iterator["Services"]:
        try:
            yield self
        finally:
            for service in self.started:
                if service.process.poll() is None:
                    service.process.kill()
                    service.process.wait()


def children(pid: int) -> dict[int, str]:
    """The modules that the children of a process run, by process id."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                found[int(child)] = words[-2].decode() if len(words) > 1 else ""
    return found


def descendants(pid: int) -> dict[int, str]:
    """As `children`, with theirs."""
    found = children(pid)
    for child in list(found):
        with contextlib.suppress(OSError):  # it has ended
            found |= descendants(child)
    return found


def is_alive(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2]
    except OSError:
        return False
    return not state.startswith("Z")


@contextlib.contextmanager
def files_left_to_open(count: int) -> Iterator[None]:
    """Let this process open so many more files and no others: it is at its limit then."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [os.open(os.devnull, os.O_RDONLY) for _ in range(count + 1)]  # the lowest come first
    for descriptor in free:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def folders_of(root: Path, **others: Any) -> tuple[Folders, Settings]:
    settings = make_settings(root, **others)
    return Folders.of(settings), settings


def inbox_of(root: Path, *, once: bool = False, **others: Any) -> Inbox:
    folders, settings = folders_of(root, **others)
    return Inbox(folders, settings, once=once)
