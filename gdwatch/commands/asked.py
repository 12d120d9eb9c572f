"""The command that is running, as the ledger keeps it in the table `commands`."""

import os
import sys

from gdwatch.files import escaping
from gdwatch.files.users import own_name
from gdwatch.ledger.ledger import Command

_LONGEST = 1000  # characters of the arguments: a shell may give thousands of names


def asked(name: str) -> Command:
    """Return this command. name: `correct`, `requeue`, …"""
    arguments = escaping.escape(os.fsencode(" ".join(sys.argv[1:])))
    return Command(name, arguments[:_LONGEST], own_name())
