"""Names of files as UTF-8, whatever the locale says: they are bytes, and settings are UTF-8."""

import os
import sys


def require() -> None:
    """Start this process again in Python's UTF-8 mode if the locale would have it otherwise.

    Without it a name like `Zoë` can neither be opened nor printed where the locale knows ASCII
    alone. Python itself turns the mode on for the locales C and POSIX, unless told not to.
    """
    if sys.getfilesystemencoding() == "utf-8":
        return
    sys.stdout.flush()
    words = [sys.executable, "-X", "utf8", *sys.orig_argv[1:]]
    os.execve(sys.executable, words, {**os.environ, "PYTHONUTF8": "1"})  # the latter for children
