"""`--engine ray` of `classify` and `reprocess`: what they say, and the extra that they need."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gdwatch.commands.output import progress
from gdwatch.commands.reprocess import Over
from gdwatch.errors import ActionNeeded, UsageError
from gdwatch.settings import Settings


def classify(
    settings: Settings, paths: tuple[str, ...], output: str | None, address: str | None, part: int
) -> int:
    """Let a Ray cluster answer into a folder; returns 1 if not all could be read."""
    if output is None:
        raise UsageError("--engine ray: no folder for the answers", "name one with -o")
    if "-" in paths:
        raise UsageError("--engine ray reads no names from standard input", "name folders or URLs")
    with needs_ray():
        from gdwatch.cluster.classify import ClusterRun, classify
    run = ClusterRun(paths, output, address, part)
    with progress(None) as bar:
        totals = classify(settings, run, bar.seen)
    for outcome, count in sorted(totals.outcomes.items()):
        print(f"{outcome:<9} {count:>9}")
    for error in totals.failed:
        print(f"gdwatch: {error}", file=sys.stderr)
    if totals.unread:
        print(
            f"gdwatch: {totals.unread} pictures could not be read; their rows have the reason "
            "`unreadable`",
            file=sys.stderr,
        )
    return 1 if totals.unread or totals.failed else 0


def over(settings: Settings, address: str | None) -> Over:
    """Return what has filed photographs judged again by a Ray cluster, for `reprocess`."""
    with needs_ray():
        from gdwatch.cluster import rejudge
    return lambda rejudging, paths: rejudge.over(rejudging, paths, settings, address)


@contextmanager
def needs_ray() -> Iterator[None]:
    """Say which package the engine `ray` lacks. Raises ActionNeeded."""
    try:
        yield
    except ImportError as error:
        raise ActionNeeded(
            f"--engine ray needs {error.name}", "install it with `pip install 'gdwatch[ray]'`"
        ) from error
