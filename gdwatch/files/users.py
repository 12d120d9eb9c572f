"""User names. In a container, a user id may have none."""

import getpass
import os
import pwd


def name_of(uid: int) -> str:
    """A user's name, or the id as text if there is no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def own_name() -> str:
    """The current user's name, from the environment, else from `name_of`."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the latter since Python 3.13
        return name_of(os.geteuid())
