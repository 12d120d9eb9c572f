"""A ledger beside real folders, for the modules between decision and folder."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gdwatch.filing import record_decisions
from gdwatch.filing.pending_moves import MoveOptions, MoveReport, file_pending
from gdwatch.ledger import opening
from gdwatch.ledger.ledger import Command, Ledger
from gdwatch.pipeline import decide
from gdwatch.pipeline.decide import Rules
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import (
    Batch,
    Entry,
    Header,
    Judged,
    Opened,
    Outcome,
    Photo,
    Refusal,
    Scores,
    Serving,
)
from tests import build

RULES = Rules("whole", "dominant", 0.9, min_face=0, min_sharpness=0)
P_MALE = {"female": 0.02, "male": 0.98, "unsure": 0.6}


@dataclass
class World:
    """A root with an open ledger; what the pipeline would hand over is made by hand."""

    root: Path
    settings: Settings
    folders: Folders
    ledger: Ledger
    serving: Serving
    stack: ExitStack = field(default_factory=ExitStack)

    def drop(self, name: str | bytes, content: bytes = b"a photograph") -> Path:
        return build.put(self.root, name, content)

    def judged(self, path: Path, outcome: Outcome = "male") -> Judged:
        """What the pipeline says of a file, without looking at it."""
        descriptor = os.open(path, os.O_RDONLY)
        self.stack.callback(os.close, descriptor)
        opened = Opened(build.drop_of(path), descriptor)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if outcome == "rejected":
            refusal = Refusal("truncated", "cut", sha256, Header(9, 9, "PNG"), 1.0)
            return Judged(opened, refusal, decide.refuse(refusal), self.serving)
        photo = Photo(sha256, Header(640, 480, "JPEG"), (32, 32), 2.0)
        return Judged(
            opened,
            photo,
            decide.decide(Scores(P_MALE[outcome]), photo.header, photo.size, RULES),
            self.serving,
        )

    def record(self, *judged: Judged, **settings: Any) -> list[Entry]:
        (entries,) = self.record_together(judged, **settings)
        return entries

    def record_together(self, *batches: tuple[Judged, ...], **settings: Any) -> list[list[Entry]]:
        moment = datetime.now(UTC)
        chosen = self.settings.model_copy(update=settings)
        recorded = record_decisions.record(
            self.ledger,
            self.folders,
            [Batch(judged, self.serving, "cpu", 3.0, moment, moment) for judged in batches],
            chosen,
        )
        return [[entry for entry, _ in pairs] for pairs in recorded]

    def record_file(self, name: str | bytes, content: bytes = b"a photograph",
                    outcome: Outcome = "male", **settings: Any) -> Entry:  # fmt: skip
        """Drop, judge and record a file that is not yet moved."""
        (entry,) = self.record(self.judged(self.drop(name, content), outcome), **settings)
        return entry

    def file(self, held: dict[int, int] | None = None, **options: Any) -> MoveReport:
        return file_pending(
            self.ledger, self.folders, self.settings.layout, MoveOptions(held or {}, **options)
        )

    def rows(self) -> list[dict[str, Any]]:
        return build.rows(self.root)

    def row(self, file_id: int) -> dict[str, Any]:
        return next(row for row in self.rows() if row["id"] == file_id)


@contextmanager
def world_at(root: Path, **others: Any) -> Iterator[World]:
    folders, settings = build.folders_of(root, **others)
    book = opening.open_ledger(settings, "a-root", serve=True)
    world = World(root, settings, folders, book, build.serving())
    with world.stack:
        world.stack.callback(book.close)
        yield world


@contextmanager
def asking(world: World, name: str, *arguments: str) -> Iterator[World]:
    """The same world, its ledger opened by a command."""
    command = Command(name, " ".join((name, *arguments)), "me")
    book = opening.open_ledger(world.settings, "a-root", command)
    try:
        yield replace(world, ledger=book, stack=ExitStack())
    finally:
        book.close()


@pytest.fixture
def world(root: Path) -> Iterator[World]:
    with world_at(root) as made:
        yield made
