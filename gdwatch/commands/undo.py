"""`gdwatch undo`: takes the last command back."""

import sys
from contextlib import closing
from dataclasses import asdict

from gdwatch.commands.asked import asked
from gdwatch.commands.output import print_json
from gdwatch.jobs import undo as job
from gdwatch.ledger.opening import open_ledger
from gdwatch.root import root_id
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings


def undo(settings: Settings, *, dry_run: bool, json_: bool) -> None:
    """Take back the last command that corrected or judged again; print what it was. Raises
    GdwatchError."""
    folders = Folders.of(settings)
    root_id.require_own(folders)
    command = None if dry_run else asked("undo")
    with closing(open_ledger(settings, root_id.read_id(folders), command)) as ledger:
        undone = job.undo(ledger, folders, settings, dry_run=dry_run)
    if json_:
        print_json(asdict(undone))
        return
    print(f"taken back: {undone.command}")
    for source, target in undone.back.items():
        print(f"  {source}" if source == target else f"  {source} → {target}")
    for path, why in undone.left.items():
        print(f"gdwatch: {path}: left as it is, {why}", file=sys.stderr)
    if undone.waiting:
        print(f"gdwatch: {undone.waiting} are recorded; the service moves them next",
              file=sys.stderr)  # fmt: skip
