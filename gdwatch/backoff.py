"""Exponential back-off: each failure doubles the wait before the next try, up to a limit."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Delay:
    """The waits of an exponential back-off, in seconds: `first_s`, doubled up to `longest_s`."""

    first_s: float
    longest_s: float

    def after(self, last_s: float | None) -> float:
        """The next wait in seconds. last_s: the previous wait; None before the first."""
        return self.first_s if last_s is None else min(last_s * 2, self.longest_s)


_DELAY = Delay(first_s=1.0, longest_s=300.0)


@dataclass(frozen=True, slots=True)
class _Wait:
    """The wait for one key. until_s: when it ends, monotonic. wait_s: how long it is."""

    until_s: float
    wait_s: float


class Backoff(Generic[Key]):
    """The back-off of many keys: 1 second after the first failure, 5 minutes at most.

    now_s: in seconds, monotonic.
    """

    def __init__(self) -> None:
        self._waits: dict[Key, _Wait] = {}

    def failed(self, key: Key, now_s: float) -> None:
        """Record a failure of `key`: it waits twice as long as the last time."""
        before = self._waits.get(key)
        wait_s = _DELAY.after(before.wait_s if before else None)
        self._waits[key] = _Wait(now_s + wait_s, wait_s)

    def rests(self, key: Key, now_s: float) -> bool:
        """Whether `key` still waits, so that it is too early to try again."""
        wait = self._waits.get(key)
        return wait is not None and now_s < wait.until_s

    def due(self, now_s: float) -> list[Key]:
        """The keys whose wait is over."""
        return [key for key, wait in self._waits.items() if now_s >= wait.until_s]

    def forget(self, key: Key) -> None:
        """Remove a key that has succeeded or no longer exists."""
        self._waits.pop(key, None)

    def keep(self, keys: set[Key]) -> None:
        """Remove all keys but these."""
        self._waits = {key: wait for key, wait in self._waits.items() if key in keys}
