"""The configured folders, and which of them a path lies below."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gdwatch.errors import ActionNeeded
from gdwatch.settings import Settings
from gdwatch.values import OUTCOMES, Outcome

STATE = ".gdwatch"
NO_STEPS = frozenset((b"", b".", b".."))


@dataclass(frozen=True, slots=True)
class Folders:
    """The configured folders: absolute paths in bytes, symbolic links resolved at the start."""

    root: bytes
    inbox: bytes
    answers: Mapping[Outcome, bytes]

    @classmethod
    def of(cls, settings: Settings) -> "Folders":
        """Resolve the folders of the settings. Raises ActionNeeded if one lies in another."""
        root = settings.root.resolve()
        named: dict[str, Path | None] = {
            name: getattr(settings, name) for name in ("inbox", *OUTCOMES)
        }
        paths = {name: os.fsencode((path or root / name).resolve()) for name, path in named.items()}
        _require_apart({**paths, "root/.gdwatch": os.fsencode(root / STATE)})
        return cls(
            os.fsencode(root), paths["inbox"], {outcome: paths[outcome] for outcome in OUTCOMES}
        )

    @property
    def state(self) -> Path:
        """The program's own folder: root-id, lock, status.json."""
        return Path(os.fsdecode(self.root)) / STATE

    def split(self, path: bytes) -> tuple[bytes, list[bytes]]:
        """Return the configured folder that a path lies below, and the components from there on.

        Raises ValueError for a path below none of them.
        """
        for base in (*self.answers.values(), self.inbox):
            if path.startswith(base + b"/"):
                steps = path[len(base) + 1 :].split(b"/")
                if NO_STEPS.isdisjoint(steps):
                    return base, steps
        raise ValueError(f"{path!r} is below none of the configured folders")

    def outcome_of(self, path: bytes) -> Outcome | None:
        """Return the outcome whose answer folder a path lies below; None if there is none."""
        for outcome, base in self.answers.items():
            if path.startswith(base + b"/"):
                return outcome
        return None


def _require_apart(paths: Mapping[str, bytes]) -> None:
    """Raise ActionNeeded if a folder is or lies in another: filed files would be drops again."""
    for name, path in paths.items():
        for other, holder in paths.items():
            if name != other and (path + b"/").startswith(holder + b"/"):
                raise ActionNeeded(
                    f"{name} {os.fsdecode(path)}: lies in {other} {os.fsdecode(holder)}",
                    "give each its own folder, beside the others",
                )
