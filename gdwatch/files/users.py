"""What users are called, where a user has a name: containers run as numbers without one."""

import getpass
import os
import pwd


def name_of(uid: int) -> str:
    """The name of a user, or the number where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def own_name() -> str:
    """Who runs this, as the environment says it, else as `name_of`."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the latter since Python 3.13
        return name_of(os.geteuid())
