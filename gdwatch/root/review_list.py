"""The photographs that `gdtrain choose` would have reviewed first, ROOT/.gdwatch/review.json."""

import json
from collections.abc import Sequence
from pathlib import Path

from gdwatch.files.atomic_write import replacing_durably

_FILE = "review.json"
MOST = 1000  # a page asks the ledger for all of them at once


def write(state_folder: Path, ids: Sequence[int]) -> None:
    """Replace the list atomically. ids: of the ledger's `files`, first things first, MOST at most.

    Raises OSError.
    """
    with replacing_durably(state_folder / _FILE) as aside:
        aside.write_text(json.dumps(list(ids[:MOST])), encoding="utf-8")


def read(state_folder: Path) -> tuple[int, ...]:
    """Return the ids, none where there is no list or it is damaged."""
    try:
        found = json.loads((state_folder / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    if not isinstance(found, list) or not all(type(each) is int for each in found):
        return ()
    return tuple(found[:MOST])
