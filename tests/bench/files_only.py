"""A ceiling: rows, moves, syncs and marks of photographs that are judged already."""

import itertools
import os
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from gdwatch.filing.pending_moves import MoveOptions, file_entries
from gdwatch.filing.record_decisions import record
from gdwatch.intake.inbox import Inbox
from gdwatch.intake.opening import open_drop
from gdwatch.ledger import opening
from gdwatch.ledger.ledger import Ledger
from gdwatch.root import root_id
from gdwatch.root.folder_handles import Handles
from gdwatch.root.folders import Folders
from gdwatch.service.filer import TOGETHER
from gdwatch.settings import Settings
from gdwatch.values import (
    OUTCOMES,
    Batch,
    Box,
    Decision,
    Drop,
    Header,
    Judged,
    Opened,
    Photo,
    Serving,
)
from tests.bench.loop import serve

BATCH = 32
SERVING = Serving("0" * 64, "none", "1", {}, "crop=face")


@dataclass(slots=True)
class World:
    """A root of its own for each round, its inbox full."""

    folders: Folders
    settings: Settings
    ledger: Ledger
    batches: list[Batch]


def judged(drop: Drop, handles: Handles, number: int) -> Judged:
    """A decision out of nothing: every second is female, every other male."""
    opened = open_drop(drop, handles)
    assert isinstance(opened, Opened)
    digest = sha256(drop.path).hexdigest()
    photo = Photo(digest, Header(200, 200, "JPEG"), (200, 200), 0.5)
    outcome = OUTCOMES[number % 2]
    p_male = float(outcome == "male")
    decision = Decision(outcome, None, outcome, p_male, 1.0, 1, Box(50, 50, 99.5, 99.5))
    return Judged(opened, photo, decision, SERVING)


def make(folder: Path, photographs: Path) -> World:
    """A root in `folder` with copies of these in its inbox, all of them judged."""
    shutil.copytree(photographs, folder / "inbox")
    os.sync()
    settings = Settings(root=folder, min_free_mb=0)
    folders = Folders.of(settings)
    root_id.make_state(folders, lambda: False)
    book = opening.open_ledger(settings, root_id.prepare(folders), serve=True)
    inbox = Inbox(folders, settings, once=True)
    with Handles(folders) as handles:
        inbox.ready(0, 0.0)
        drops = inbox.ready(len(list(photographs.iterdir())), 3600.0)
        each = [judged(drop, handles, number) for number, drop in enumerate(drops)]
    now = datetime.now(UTC)
    batches = [
        Batch(tuple(each[start : start + BATCH]), SERVING, "cpu", 10.0, now, now)
        for start in range(0, len(each), BATCH)
    ]
    return World(folders, settings, book, batches)


def file_all(world: World) -> None:
    """What the service does with its batches."""
    for start in range(0, len(world.batches), TOGETHER):
        batches = world.batches[start : start + TOGETHER]
        recorded = record(world.ledger, world.folders, batches, world.settings)
        pairs = [pair for some in recorded for pair in some]
        held = {entry.id: judged.opened.descriptor for entry, judged in pairs}
        news = [entry for entry, _ in pairs]
        ended = file_entries(world.ledger, world.folders, "tree", news, MoveOptions(held))
        assert len(ended.filed) == sum(len(batch.judged) for batch in batches)
        for _, judged in pairs:
            os.close(judged.opened.descriptor)


def main(photographs: Path, work: Path) -> None:
    """work: a folder in which each round makes a root. At most 4096 files are seen at once."""
    worlds: list[World] = []
    rounds = itertools.count()

    def prepare() -> None:
        if worlds:
            worlds.pop().ledger.close(last=True)
        worlds.append(make(work / f"files-{next(rounds)}", photographs))

    serve(lambda: file_all(worlds[-1]), prepare)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
