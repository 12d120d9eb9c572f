"""The log's set-up. Event names are dotted and stable; a file name is always a value.

Events: settings.ignored, service.started|ready|paused|resumed|stopped|reloaded, lock.held,
watch.started|overflow|lost|limited|polling, inbox.skipped,
file.vanished|deferred|unsure|rejected|missing|back|moved|changed_late,
file.judged_again|collision|not_restored,
batch.filed|restored|unsure|retried|split, metrics.listening,
worker.started|died|timeout, cluster.judge_lost, engine.oom|restarted,
model.loaded|refused, db.busy|full|upgraded, disk.low, hook.started|failed,
recovery.done, ui.listening|failed.
"""

import logging
import os
import sys
import warnings
from typing import Any, Literal

import structlog
from structlog.types import Processor, WrappedLogger

# Of syslog(3), as the journal has them.
_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}


def set_up(level: str, format_: Literal["auto", "human", "json"]) -> None:
    """Log to standard error.

    level: the lowest that is logged. format_: `auto` is `human` on a terminal, else `json`, one
        object a line. In the journal each line begins with its priority.
    """
    if not sys.warnoptions:  # libraries' warnings are for developers, not for this log
        warnings.simplefilter("ignore")
    human = format_ == "human" or (format_ == "auto" and sys.stderr.isatty())
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=_is_coloured())]
        if human
        else [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    )
    if in_journal():
        last.append(_with_priority)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def keep_quiet() -> None:
    """Log warnings alone, to standard error, for a program that has not configured structlog."""
    if not structlog.is_configured():
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )


def _is_coloured() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def in_journal() -> bool:
    """Whether standard error is a stream to systemd's journal (systemd.exec(5), JOURNAL_STREAM)."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    if not (device.isdigit() and inode.isdigit()):
        return False
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == (int(device), int(inode))


def prefixed(text: str, level: str) -> str:
    """Return a message with the journal's mark of its priority (sd-daemon(3)) before each line."""
    mark = f"<{_PRIORITIES[level]}>"
    return mark + text.replace("\n", f"\n{mark}")


def _with_priority(_: WrappedLogger, level: str, rendered: Any) -> str:
    return prefixed(rendered, level)
