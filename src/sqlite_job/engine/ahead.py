"""Decide how many jobs to claim ahead of the free slots: by the time they will take, not by their number."""

from __future__ import annotations

from typing import Sequence

from sqlite_job.core.clock import SECOND
from sqlite_job.core.outcomes import NOT_RUN, Outcome

# What is claimed ahead should be done within this time: a commit takes 0.2 ms on a fast disk and 20 ms on a slow one,
# and another worker that becomes free should not find the queue bought up.
_AHEAD_SECONDS = 0.05

# The most that is claimed ahead: in larger turns a job costs no less.
_MOST_AHEAD = 500

# The share of the newest turn in the estimate: jobs that turn long are believed within a few turns.
_NEWEST = 0.4


class Ahead:
    """An estimate of how long jobs take, and the number of jobs to hold beyond the slots."""

    def __init__(self, slots: int) -> None:
        """Claim nothing ahead until something is known."""
        self._slots = slots
        self._seconds = 0.0
        self._is_known = False

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Take the run times of one turn into the estimate."""
        total = count = 0
        for outcome in outcomes:
            if type(outcome) not in NOT_RUN:
                total += outcome.finished_at - outcome.started_at  # type: ignore[union-attr]
                count += 1
        if not count:
            return
        mean = total / count / SECOND
        self._seconds = self._seconds * (1 - _NEWEST) + mean * _NEWEST if self._is_known else mean
        self._is_known = True

    def forget(self) -> None:
        """Claim nothing ahead until more is known: what was held did not get its turn in time."""
        self._is_known = False

    def least_seconds(self, count: int) -> float:
        """Return how long so many jobs take at the least: had all of the time gone by while they ran side by side."""
        return count * self._seconds / max(self._slots, 1)

    def room(self) -> int:
        """Return how many jobs to hold beyond the slots."""
        if not self._is_known:
            return 0
        # A microsecond at least: the clock is no finer, and a no-op takes less.
        return min(int(_AHEAD_SECONDS * self._slots / max(self._seconds, 1e-6)), _MOST_AHEAD)
