"""`gdwatch classify`: answers for files and folders, in the order given."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from itertools import chain, islice
from pathlib import Path

from gdwatch.commands.output import FORMATS, Format, progress, shows_progress
from gdwatch.commands.output_file import replaced
from gdwatch.errors import ActionNeeded
from gdwatch.files import escaping
from gdwatch.jobs.classify import Answer, Draw, Given, answers, inputs
from gdwatch.settings import Settings


def classify(
    settings: Settings,
    given: Given,
    format_: Format,
    output: Path | None,
    explain: Path | None = None,
) -> int:
    """Write one answer for each photograph; returns 1 if an input could not be opened.

    explain: a folder for one panel of each picture.
    """
    unopened = 0
    with _drawing(settings, explain) as draw, progress(_total(settings, given)) as bar:
        judged = _begun(answers(settings, inputs(given, settings.ignore), _complain, draw))
        with nullcontext(bar.stream) if output is None else replaced(output) as stream:
            for answer in FORMATS[format_](stream, _counted(judged, bar.seen)):
                unopened += answer["reason"] == "unreadable"
    return 1 if unopened else 0


def _total(settings: Settings, given: Given) -> int | None:
    """How many inputs there are, for the progress bar; None if that is not known beforehand."""
    if "-" in given.paths or not shows_progress():
        return None
    return sum(1 for _ in inputs(given, settings.ignore))


@contextmanager
def _drawing(settings: Settings, folder: Path | None) -> Iterator[Draw | None]:
    """What draws the panels, where there is a folder for them."""
    if folder is None:
        yield None
        return
    try:
        from gdwatch.jobs.explain import Explainer
    except ImportError as error:
        raise ActionNeeded(
            f"--explain needs {error.name}", "install it with `pip install 'gdwatch[explain]'`"
        ) from error
    with closing(Explainer(settings, folder, _complain)) as explainer:
        yield explainer.panel


def _begun(answers: Iterator[Answer]) -> Iterator[Answer]:
    """Wait for the first: what stops all of them is told before a file is opened for them."""
    first = list(islice(answers, 1))
    return chain(first, answers)


def _complain(path: bytes, why: str) -> None:
    print(f"gdwatch: {escaping.escape(path)}: {why.lower()}", file=sys.stderr)


def _counted(answers: Iterable[Answer], seen: Callable[[], None]) -> Iterator[Answer]:
    for answer in answers:
        seen()
        yield answer
