"""Capabilities that the unit gives the service, for drops whose modes shut other users out.

Only the service itself keeps them: a worker decodes what strangers drop, and needs none.
"""

import ctypes

_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4


def keep_from_children() -> None:
    """Start programs without this process's capabilities from now on (capabilities(7), ambient).

    A kernel older than 4.3 knows no ambient capabilities, and has given none.
    """
    ctypes.CDLL(None).prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
