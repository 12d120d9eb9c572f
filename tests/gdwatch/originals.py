"""What an inbox that knows its originals would take."""

import os
from functools import partial

from gdwatch.intake.inbox import Inbox
from gdwatch.ledger import originals
from tests.gdwatch.conftest import World


def ready(world: World) -> list[str]:
    """The files that a service started now would take."""
    known = partial(originals.unchanged, world.ledger)
    inbox = Inbox(world.folders, world.settings, originals=known)
    drops = [drop for moment_s in (0.0, 1000.0) for drop in inbox.ready(100, moment_s)]
    return sorted(os.fsdecode(drop.path.rpartition(b"/inbox/")[2]) for drop in drops)
