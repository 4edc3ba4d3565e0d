"""State the contract of storage for schedules."""

from __future__ import annotations

from typing import List, Protocol, Sequence

from sqlite_job.core.schedules import Firing, FoundSchedules, Schedule, SyncedSchedules


class ScheduleStorage(Protocol):
    """The part of `Storage` that is about schedules; they are known by their names."""

    def sync_schedules(self, origin: str, listed: Sequence[Schedule], now: int) -> SyncedSchedules:
        """Make the schedules of `origin` those that are listed, in one transaction; nothing is written when they are.

        What is not listed any more is removed. A listed name that is another origin's is taken from it. Where the times
        are the same as before, the next one stays, so that what has been missed is known; else it is the first from
        now. A pause stays.
        """
        ...

    def put_schedule(self, given: Schedule, now: int, *, may_create: bool, may_change: bool) -> Schedule:
        """Store a schedule made at run time, or a new definition of it; returns it as it is stored.

        Raises ScheduleNotFoundError, or ScheduleStateError where it exists, or settings list it.
        """
        ...

    def pause_schedule(self, name: str, now: int) -> Schedule:
        """Let a schedule make no jobs until it is resumed; raises ScheduleNotFoundError."""
        ...

    def resume_schedule(self, name: str, now: int) -> Schedule:
        """Let a paused schedule go on with the first time after `now`; raises ScheduleNotFoundError."""
        ...

    def delete_schedule(self, name: str, *, also_listed: bool) -> None:
        """Delete a schedule; raises ScheduleNotFoundError, or ScheduleStateError where settings list it."""
        ...

    def schedules(self) -> List[Schedule]:
        """Return all schedules, by name."""
        ...

    def schedule(self, name: str) -> Schedule:
        """Return a schedule; raises ScheduleNotFoundError."""
        ...

    def due_schedules(self, functions: Sequence[str], now: int) -> FoundSchedules:
        """Return the schedules of these functions that are due and not paused, those that are longest first."""
        ...

    def fire_schedules(self, firings: Sequence[Firing]) -> List[Firing]:
        """Move schedules on, and store the jobs of their slots, in one transaction; returns those that were moved.

        One that is not as it was read any more is left as it is. Raises DatabaseFullError as `enqueue` does.
        """
        ...
