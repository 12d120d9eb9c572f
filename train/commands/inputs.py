"""The prepared folder that a command was given.

Imported inside the commands: it loads torch, which takes seconds, and `--help` needs none of it.
"""

from pathlib import Path

from train.data import prepared_set
from train.data.prepared_set import Prepared, View


def open_prepared(folder: Path, *, clean: bool, crop: View = "whole") -> Prepared:
    """Open a prepared folder, or what `audit --apply` left of it. Raises GdwatchError."""
    return prepared_set.load_clean(folder, crop) if clean else prepared_set.load(folder, crop)
