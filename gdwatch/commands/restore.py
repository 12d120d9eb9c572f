"""`gdwatch restore`: puts files back under their original paths."""

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from gdwatch.commands.asked import asked
from gdwatch.commands.output import print_json
from gdwatch.errors import GdwatchError
from gdwatch.jobs import restore as job
from gdwatch.jobs.named_files import NamedFiles, all_files, named_files
from gdwatch.jobs.restore import Restored, RestoreOptions
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.opening import open_ledger
from gdwatch.root import root_id
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings


def restore(
    settings: Settings, names: Sequence[str], to: Path | None, *, dry_run: bool, json_: bool
) -> int:
    """Put files back under their original paths, and print from where to where.

    names: ids, paths and folders; none: everything that is filed. to: a folder to put them into
        instead of the inbox; it is made if it is missing.

    Returns 1 if some could not be put back, which are named on standard error, else 0. Raises
    GdwatchError, as when the only one cannot be.
    """
    folders = Folders.of(settings)
    root_id.require_own(folders)
    command = None if dry_run else asked("restore")
    with closing(open_ledger(settings, root_id.read_id(folders), command)) as ledger:
        named = _named(ledger, folders, settings, names)
        options = RestoreOptions(None if to is None else _folder(to, dry_run=dry_run), dry_run)
        done = job.restore(ledger, folders, settings, named.rows, options)
        done.refused = named.refused + done.refused
        _tell(ledger, done, json_=json_)
    if len(done.refused) == 1 and not done.files and not json_:
        raise done.refused[0]
    for error in done.refused:
        print(f"gdwatch: {error}", file=sys.stderr)
    if done.waiting:
        print(f"gdwatch: {done.waiting} are recorded; the service moves them next",
              file=sys.stderr)  # fmt: skip
    return 1 if done.refused else 0


def _named(
    ledger: Ledger, folders: Folders, settings: Settings, names: Sequence[str]
) -> NamedFiles:
    if names:
        return named_files(ledger, folders, settings, names)
    return all_files(ledger, folders, settings)


def _folder(to: Path, *, dry_run: bool) -> bytes:
    """Return a folder's absolute path, and make it. Raises GdwatchError."""
    try:
        if not dry_run:
            to.mkdir(parents=True, exist_ok=True)
        elif to.exists() and not to.is_dir():
            raise NotADirectoryError(20, "not a directory")
        return os.fsencode(to.resolve())
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise GdwatchError(f"--to {to}: {why}", "name a folder that can be written") from error


def _tell(ledger: Ledger, done: Restored, *, json_: bool) -> None:
    if json_:
        print_json(
            {
                "restored": [
                    {
                        "id": each.id,
                        "from": ledger.text(each.source),
                        "to": ledger.text(each.target),
                    }
                    for each in done.files
                ],
                "there": done.there,
                "refused": [str(error) for error in done.refused],
                "waiting": done.waiting,
            }
        )
        return
    for each in done.files:
        print(f"{each.id} {ledger.text(each.source)} → {ledger.text(each.target)}")
    if done.there:
        print(f"{len(done.there)} originals have never left the inbox; their copies stay filed")
