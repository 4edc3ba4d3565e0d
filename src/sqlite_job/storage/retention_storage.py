"""State the contract of storage on what is old: to prune finished jobs, and to give their space back."""

from __future__ import annotations

from typing import Protocol

from sqlite_job.core.retention import Old, Place, Pruned


class RetentionStorage(Protocol):
    """What has ended, and may go."""

    def prune(self, old: Old, after: Place, now: int) -> Pruned:
        """Delete the next old jobs behind a place, with all that belongs to them: one short transaction.

        It holds the lock for some milliseconds at most, so a call may find nothing and yet not be at the end. A job
        that is the window of a unique key (`unique_for`) is kept as long as that lasts.
        """
        ...

    def find_old(self, old: Old, after: Place) -> Pruned:
        """Count, without any lock, what the next call of `prune` would delete."""
        ...

    def give_back_space(self) -> bool:
        """Give some unused pages of the file back to the disk, if there are many; whether it is worth another call."""
        ...
