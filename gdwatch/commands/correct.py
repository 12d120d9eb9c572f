"""`gdwatch correct`: a person's verdict on files, which overrides the model's."""

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from typing import cast, get_args

from gdwatch.commands.asked import asked
from gdwatch.errors import GdwatchError, UsageError
from gdwatch.files import escaping
from gdwatch.jobs import verdicts
from gdwatch.jobs.named_files import named_files
from gdwatch.jobs.verdicts import Corrected, VerdictOptions
from gdwatch.ledger import queries
from gdwatch.ledger.ledger import Ledger
from gdwatch.ledger.opening import open_ledger
from gdwatch.root import root_id
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings
from gdwatch.values import Verdict


def split(words: Sequence[str], *, undo: bool) -> tuple[list[str], Verdict | None]:
    """Part the words of the command line: names of files, and the verdict, which comes last.

    Raises UsageError.
    """
    if undo:
        return list(words), None
    if not words or words[-1] not in get_args(Verdict):
        raise UsageError(
            "correct: say female, male, neither or reject at the end, or --undo", "one of them"
        )
    return list(words[:-1]), cast(Verdict, words[-1])


def names_from(names: Sequence[str], *, null: bool) -> list[str]:
    """Return the names, with those from standard input in the place of `-`.

    null: they end with NUL, else with a newline.
    """
    given: list[str] = []
    for name in names:
        if name != "-":
            given.append(name)
            continue
        read = sys.stdin.buffer.read().split(b"\0" if null else b"\n")
        given += [os.fsdecode(each) for each in read if each]
    return given


def correct(
    settings: Settings,
    names: Sequence[str],
    outcome: str | None,
    reason: str | None,
    options: VerdictOptions,
) -> int:
    """Record a person's verdict on files, move them, and print the id and path of each.

    names: ids, paths and folders; outcome, reason: all filed files with them, too.

    Returns 1 if some could not be corrected, which are named on standard error, else 0. Raises
    GdwatchError, as when the only one cannot be.
    """
    folders = Folders.of(settings)
    root_id.require_own(folders)
    command = None if options.dry_run else asked("correct")
    with closing(open_ledger(settings, root_id.read_id(folders), command)) as ledger:
        named = named_files(ledger, folders, settings, names)
        rows = named.rows
        if outcome is not None or reason is not None:
            known = {row.id for row in rows}
            chosen = queries.filed_rows(ledger, outcome, reason)
            rows += [row for row in chosen if row.id not in known]
        done = verdicts.correct(ledger, folders, settings, rows, options)
        done.refused = named.refused + done.refused
        _tell(ledger, done, options)
    if len(done.refused) == 1 and not done.rows:
        raise done.refused[0]
    for error in done.refused:
        print(f"gdwatch: {error}", file=sys.stderr)
    return 1 if done.refused else 0


def _tell(ledger: Ledger, done: Corrected, options: VerdictOptions) -> None:
    if options.dry_run:
        for row in done.rows:
            print(f"{row.id} {ledger.text(row.path)}")
        return
    with ledger.reading() as connection:
        rows = ledger.transaction(connection).rows([row.id for row in done.rows])
    for row in rows:
        if row.state == "missing":
            name = escaping.escape(row.path)
            hint = "drop it into the inbox again"
            done.refused.append(GdwatchError(f"{name}: its file has been taken away", hint))
        else:
            print(f"{row.id} {ledger.text(row.source or row.path)}")
    if done.waiting:
        print("gdwatch: recorded; the service moves it next", file=sys.stderr)
