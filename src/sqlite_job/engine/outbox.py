"""Carry outcomes from the executors to the loop."""

from __future__ import annotations

from collections import deque
from typing import Callable, Deque, List

from sqlite_job.core.outcomes import Outcome


class Outbox:
    """A queue of outcomes whose reader is woken only when it waits, and for as many as it waits for.

    A wake-up costs more than an outcome.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        """Call `wake` when an outcome arrives while the reader waits."""
        self._wake = wake
        self._outcomes: Deque[Outcome] = deque()
        self._is_awaited = False
        self._awaited_count = 1

    def put(self, outcome: Outcome) -> None:
        """Add an outcome, from any thread."""
        self._outcomes.append(outcome)
        if self._is_awaited and len(self._outcomes) >= self._awaited_count:
            self._is_awaited = False
            self._wake()

    def take(self) -> List[Outcome]:
        """Return all outcomes that are there."""
        outcomes = self._outcomes
        return [outcomes.popleft() for _ in range(len(outcomes))]

    def await_next(self, count: int = 1) -> bool:
        """Ask to be woken when there are so many outcomes; False when there are, and no wake-up will come."""
        self._awaited_count = count
        # First the flag, then the look: an outcome in between wakes once too often, never once too little.
        self._is_awaited = True
        if len(self._outcomes) >= count:
            self._is_awaited = False
            return False
        return True

    def stop_awaiting(self) -> None:
        """Ask for no wake-up any more."""
        self._is_awaited = False
