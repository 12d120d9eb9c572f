"""Checkpoint files: written whole or not at all, and read without running code from them."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from train.atomic_files import publish

# What torch and the state dicts raise where a file is damaged, or of something else.
DAMAGED = (OSError, RuntimeError, ValueError, LookupError, TypeError, EOFError,
           AttributeError, pickle.UnpicklingError)  # fmt: skip


def write(content: Mapping[str, Any], path: Path) -> None:
    """Write tensors, numbers and text.

    Raises GdwatchError; the checkpoint before is intact then.
    """
    with publish(path) as aside:
        torch.save(content, aside)


def read(path: Path) -> dict[str, Any]:
    """Read what `write` wrote, its tensors on the CPU. Raises one of `DAMAGED`."""
    content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return content


def reason(error: BaseException) -> str:
    """The first line of an error that may have many, or none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
