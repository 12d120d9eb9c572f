"""When a dropped file is complete: two looks, some time apart, have seen the same."""

from dataclasses import dataclass
from datetime import datetime

from gdwatch.values import Identity


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a file.

    since_s: when it first looked like this, or was last found open for writing. changed_s: when it
    first looked like this. first_s: when it was first seen at all.
    """

    identity: Identity
    since_s: float
    changed_s: float
    first_s: float
    received_at: datetime


def settled(look: Look, now_s: float, settle_s: float, empty_s: float) -> bool:
    """Whether a file that still looks the same is complete."""
    return now_s - look.since_s >= (settle_s if look.identity.size_bytes else empty_s)
