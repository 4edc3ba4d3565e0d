"""Decide how many jobs to claim ahead of the free slots: by the time they will take, not by their number."""

from __future__ import annotations

from typing import Sequence

from sqlite_job.core.clock import SECOND
from sqlite_job.core.outcomes import NOT_RUN, Outcome

# What is claimed ahead should be done within this time: a commit takes 0.2 ms on a fast disk and 20 ms on a slow one,
# and another worker that becomes free should not find the queue bought up.
_AHEAD_SECONDS = 0.05

# What is held in all, where one job runs after the other and the loop waits for the last (`gathering.py`).
_IN_TURN_SECONDS = 0.02

# The most that is claimed ahead: in larger turns a job costs no less.
_MOST_AHEAD = 500

# The share of the newest turn in the estimate: jobs that turn long are believed within a few turns.
_NEWEST = 0.4


class Ahead:
    """An estimate of the time from the end of one job to that of the next, and of what to hold beyond the slots."""

    def __init__(self, slots: int) -> None:
        """Claim nothing ahead until something is known, and never with no `slots`."""
        self._slots = slots
        self._pace = 0.0
        self._is_known = False

    def learn(self, outcomes: Sequence[Outcome], *, in_turn: bool) -> None:
        """Take the run times of jobs, which have run `in_turn` or side by side, into the estimate.

        The very first are taken for jobs that got in each other's way: better too few are held than too many.
        """
        total = count = 0
        for outcome in outcomes:
            if type(outcome) not in NOT_RUN:
                total += outcome.finished_at - outcome.started_at  # type: ignore[union-attr]
                count += 1
        if not count:
            return
        mean = total / count / SECOND
        pace = mean / max(self._slots, 1) if self._is_known and not in_turn else mean
        self._pace = self._pace * (1 - _NEWEST) + pace * _NEWEST if self._is_known else pace
        self._is_known = True

    def forget(self) -> None:
        """Claim nothing ahead until more is known: what was held did not get its turn in time."""
        self._is_known = False

    def seconds_of(self, count: int) -> float:
        """Return how long so many jobs will take."""
        return count * self._pace

    def room(self, *, in_turn: bool) -> int:
        """Return how many jobs to hold beyond the slots."""
        if not self._is_known or not self._slots:
            return 0
        # A microsecond at least: the clock is no finer, and a no-op takes less.
        pace = max(self._pace, 1e-6)
        fitting = int(_IN_TURN_SECONDS / pace) - self._slots
        return min(fitting if in_turn and fitting > 0 else int(_AHEAD_SECONDS / pace), _MOST_AHEAD)
