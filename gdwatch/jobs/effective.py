"""The settings as they take effect on this machine: `auto` and what is not set, resolved."""

import contextlib
import os
from typing import Any

from gdwatch.errors import GdwatchError
from gdwatch.files import escaping
from gdwatch.files.mounts import on_network
from gdwatch.inference import model_file
from gdwatch.ledger.connection import url_of
from gdwatch.pipeline.capacity import Capacity, is_on_card
from gdwatch.root.folders import Folders
from gdwatch.settings import Settings


def effective(settings: Settings) -> dict[str, Any]:
    """Return each setting's value in force, by name, as JSON has it.

    What cannot be found out, since a model or a folder is bad, stays as it was set.
    """
    values = settings.model_dump(mode="json")
    values["database"] = url_of(settings).render_as_string(hide_password=True)
    if settings.device == "auto":
        values["device"] = "cuda" if is_on_card(settings) else "cpu"
    with contextlib.suppress(GdwatchError):
        values |= _folders(settings)
    with contextlib.suppress(GdwatchError):
        values |= _of_the_model(settings)
    return values


def _folders(settings: Settings) -> dict[str, Any]:
    folders = Folders.of(settings)
    named: dict[str, Any] = {name: escaping.escape(path) for name, path in folders.answers.items()}
    named |= {"root": escaping.escape(folders.root), "inbox": escaping.escape(folders.inbox)}
    if settings.watch == "auto":
        named["watch"] = "poll" if on_network(folders.inbox) else "events"
    return named


def _of_the_model(settings: Settings) -> dict[str, Any]:
    files = model_file.read_models(settings.model, settings.crop)
    details = [file.details for file in files]
    capacity = Capacity.of(settings, model_file.layout(details, settings.crop))
    least = [settings.min_confidence or each.min_confidence for each in details]
    return {
        "model": ", then ".join(os.fspath(file.path) for file in files),
        "workers": capacity.workers,
        "batch_size": capacity.batch_size,
        "min_confidence": least[0] if len(set(least)) == 1 else least,
    }
