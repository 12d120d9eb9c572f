"""When to try again what did not work: after a while, then after twice as long each time."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Delay:
    """How long to wait until the next try: doubled each time, up to the longest."""

    first_s: float
    longest_s: float

    def after(self, last_s: float | None) -> float:
        """The next wait. last_s: the wait before; None if there was none."""
        return self.first_s if last_s is None else min(last_s * 2, self.longest_s)


_DELAY = Delay(first_s=1.0, longest_s=300.0)


@dataclass(frozen=True, slots=True)
class _Rest:
    """Monotonic times."""

    until_s: float
    wait_s: float


class Backoff(Generic[Key]):
    """Which of many things rest now, since they failed not long ago."""

    def __init__(self) -> None:
        self._rests: dict[Key, _Rest] = {}

    def failed(self, key: Key, now_s: float) -> None:
        """Let it rest, twice as long as the last time."""
        before = self._rests.get(key)
        wait_s = _DELAY.after(before.wait_s if before else None)
        self._rests[key] = _Rest(now_s + wait_s, wait_s)

    def rests(self, key: Key, now_s: float) -> bool:
        """Whether it is too early to try it again."""
        rest = self._rests.get(key)
        return rest is not None and now_s < rest.until_s

    def due(self, now_s: float) -> list[Key]:
        """What has rested long enough."""
        return [key for key, rest in self._rests.items() if now_s >= rest.until_s]

    def forget(self, key: Key) -> None:
        """It has worked, or is gone."""
        self._rests.pop(key, None)

    def keep(self, keys: set[Key]) -> None:
        """Forget all others."""
        self._rests = {key: rest for key, rest in self._rests.items() if key in keys}
