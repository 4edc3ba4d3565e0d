"""Expect a job behind each commit, as long as that keeps coming true: then nobody looks first whether there is one."""

from __future__ import annotations

# So many commits in a row that each had a job for this worker. A claim that finds none costs others a moment of the
# write lock, and a look before each claim a fifth of the time from waking up to the start of the job.
_ENOUGH = 3


class Expectation:
    """What the last commits that ended a sleep had for this worker."""

    def __init__(self) -> None:
        """Expect nothing."""
        self.is_woken = False
        self._met = 0

    @property
    def is_strong(self) -> bool:
        """Whether a commit has just ended the sleep, and the last ones all had a job."""
        return self.is_woken and self._met >= _ENOUGH

    def note_turn(self, *, has_found: bool) -> None:
        """Take note of what the first turn after a sleep has found."""
        if self.is_woken:
            self._met = self._met + 1 if has_found else 0
            self.is_woken = False
