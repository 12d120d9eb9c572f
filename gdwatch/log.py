"""The log's set-up. Event names are dotted and stable; a file name is always a value.

Events: settings.ignored, service.started|ready|paused|resumed|stopped|reloaded, lock.held,
watch.started|overflow|lost|polling, inbox.skipped,
file.vanished|deferred|unsure|rejected|missing|back|moved|changed_late,
file.judged_again|collision,
batch.filed|unsure|retried|split, worker.started|died|timeout, engine.oom|restarted,
model.loaded|refused, db.busy|full|upgraded, disk.low, recovery.done.
"""

import logging
import os
import sys
import warnings
from typing import Literal

import structlog
from structlog.types import Processor


def set_up(level: str, format_: Literal["auto", "human", "json"]) -> None:
    """Log to standard error.

    level: the lowest that is logged. format_: `auto` is `human` on a terminal, else `json`, one
        object a line.
    """
    if not sys.warnoptions:  # libraries' warnings are for developers, not for this log
        warnings.simplefilter("ignore")
    human = format_ == "human" or (format_ == "auto" and sys.stderr.isatty())
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=_is_coloured())]
        if human
        else [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    )
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


def _is_coloured() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
