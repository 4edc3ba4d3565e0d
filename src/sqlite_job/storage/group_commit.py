"""Let threads that enqueue at the same time share one commit: each returns only after its own is done."""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable, Deque, List, Optional, Sequence

from sqlite_job.core.jobs import NewJob

# One transaction holds the write lock for a few milliseconds at most: about 100,000 small inserts take a second.
_MOST_JOBS = 1_000


class _Ticket:
    """One caller's jobs, on the way into a transaction."""

    __slots__ = ("error", "is_done", "jobs")

    def __init__(self, jobs: Sequence[NewJob]) -> None:
        self.jobs = jobs
        self.is_done = False
        self.error: Optional[BaseException] = None


class GroupCommit:
    """Whoever gets the lock writes for all that wait; while it waits for the disk, the next group gathers."""

    def __init__(self, write: Callable[[Sequence[NewJob]], None]) -> None:
        """Take what stores jobs in one transaction, all or none."""
        self._write = write
        self._lock = threading.Lock()
        self._waiting: Deque[_Ticket] = deque()

    def submit(self, jobs: Sequence[NewJob]) -> None:
        """Store the jobs; returns after the commit, or raises what made it fail."""
        ticket = _Ticket(jobs)
        self._waiting.append(ticket)
        with self._lock:
            # A leader before us may have done our part; one that left us over the limit leaves the rest to us.
            while not ticket.is_done:
                self._write_group()
        if ticket.error is not None:
            raise ticket.error

    def _write_group(self) -> None:
        group = self._gather()
        try:
            self._write([job for ticket in group for job in ticket.jobs])
        except BaseException as error:  # noqa: BLE001 - handed to whom it belongs
            self._write_each(group, error)
        for ticket in group:
            ticket.is_done = True

    def _gather(self) -> List[_Ticket]:
        group = [self._waiting.popleft()]
        size = len(group[0].jobs)
        while self._waiting and size + len(self._waiting[0].jobs) <= _MOST_JOBS:
            group.append(self._waiting.popleft())
            size += len(group[-1].jobs)
        return group

    def _write_each(self, group: List[_Ticket], error: BaseException) -> None:
        """One caller's rows must not fail another's: try each alone."""
        if len(group) == 1:
            group[0].error = error
            return
        for ticket in group:
            try:
                self._write(ticket.jobs)
            except BaseException as own_error:  # noqa: BLE001 - handed to whom it belongs
                ticket.error = own_error
