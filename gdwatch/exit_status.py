"""How a program ends: the one place where an error becomes a message and an exit status.

The statuses are defined with the errors, in `errors`.
"""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from gdwatch import utf8_mode
from gdwatch.errors import GdwatchError
from gdwatch.files import standard_error

_EPIPE_STATUS = 1
_DISK_ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT)


def run_and_exit(run: Callable[[], object]) -> NoReturn:
    """Run a command, and exit with its status; with `--debug` errors also print a traceback."""
    utf8_mode.require()
    standard_error.keep()
    debug = "--debug" in sys.argv
    try:
        run()
    except GdwatchError as error:
        if debug:
            traceback.print_exc()
        _say(str(error))
        sys.exit(error.status)
    except BrokenPipeError:
        # The reader of our output, such as `head`, has closed it: that is no error to report.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(_EPIPE_STATUS)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS and not debug:
            where = f"{error.filename}: " if error.filename else ""
            _say(f"{where}{(error.strerror or '').lower()}; look after the disk, and start again: "
                 "work goes on where it was")  # fmt: skip
        else:
            # A bug, or an unforeseen fault: the traceback is for the bug report.
            traceback.print_exc()
        sys.exit(1)
    sys.exit(0)


def _say(message: str) -> None:
    line = f"gdwatch: {message}"
    if "JOURNAL_STREAM" in os.environ:  # else the import would only cost a short command its time
        from gdwatch import log

        line = log.prefixed(line, "error") if log.in_journal() else line
    print(line, file=sys.stderr)  # noqa: T201
