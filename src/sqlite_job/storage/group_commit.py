"""Let threads that enqueue at the same time share one commit: each returns only after its own is done."""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable, Deque, List, Mapping, Optional, Sequence

from sqlite_job.core.jobs import NewJob

# One transaction holds the write lock for a few milliseconds at most: about 100,000 small inserts take a second.
_MOST_JOBS = 1_000

Write = Callable[[Sequence[NewJob]], Mapping[str, str]]


class _Ticket:
    """One caller's jobs on the way into a transaction, and the caller's place to sleep."""

    __slots__ = ("bell", "error", "existing", "is_done", "jobs")

    def __init__(self, jobs: Sequence[NewJob]) -> None:
        self.jobs = jobs
        self.is_done = False
        self.error: Optional[BaseException] = None
        self.existing: Mapping[str, str] = {}
        self.bell = threading.Lock()
        self.bell.acquire()


class GroupCommit:
    """One caller at a time leads and writes for all that wait; while it waits for the disk, the next group gathers.

    A leader that has written wakes its group and the first of those that came meanwhile, who leads next. (With one lock
    for all, each of sixteen threads would wake in turn only to find its part done: it took twice as long.)
    """

    def __init__(self) -> None:
        """Start with nobody waiting."""
        self._mutex = threading.Lock()
        self._waiting: Deque[_Ticket] = deque()
        self._has_leader = False

    def submit(self, jobs: Sequence[NewJob], write: Write) -> Mapping[str, str]:
        """Store the jobs with `write`, in one transaction; returns after its commit what `write` did, or raises."""
        with self._mutex:
            ticket = None
            if self._has_leader:
                ticket = _Ticket(jobs)
                self._waiting.append(ticket)
            self._has_leader = True
        if ticket is None:
            # Nobody leads, so nobody waits: the shortest way, for what is stored most often.
            try:
                return write(jobs)
            finally:
                self._pass_on()
        self._wait(ticket)
        if not ticket.is_done:
            self._lead(write)
        if ticket.error is not None:
            raise ticket.error
        return ticket.existing

    def _wait(self, ticket: _Ticket) -> None:
        """Sleep until the ticket is done, or its owner is the next leader."""
        try:
            ticket.bell.acquire()
        except BaseException:  # KeyboardInterrupt, in the main thread
            with self._mutex:
                was_woken = ticket not in self._waiting or self._waiting[0] is ticket
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
            if was_woken and not ticket.is_done:
                self._pass_on()
            raise

    def _lead(self, write: Write) -> None:
        group = self._gather()
        try:
            _write_group(group, write)
        finally:
            for ticket in group:
                ticket.is_done = True
            for ticket in group:
                ticket.bell.release()
            self._pass_on()

    def _pass_on(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting[0].bell.release()
            else:
                self._has_leader = False

    def _gather(self) -> List[_Ticket]:
        with self._mutex:
            group = [self._waiting.popleft()]
            size = len(group[0].jobs)
            while self._waiting and size + len(self._waiting[0].jobs) <= _MOST_JOBS:
                group.append(self._waiting.popleft())
                size += len(group[-1].jobs)
        return group


def _write_group(group: List[_Ticket], write: Write) -> None:
    if len(group) == 1:
        _write_one(group[0], write)
        return
    try:
        existing = write([job for ticket in group for job in ticket.jobs])
    except BaseException:  # noqa: BLE001 - told apart below
        # One caller's rows must not fail another's: each gets its own transaction, and its own error.
        for ticket in group:
            _write_one(ticket, write)
        return
    for ticket in group:
        ticket.existing = existing


def _write_one(ticket: _Ticket, write: Write) -> None:
    try:
        ticket.existing = write(ticket.jobs)
    except BaseException as error:  # noqa: BLE001 - raised where it belongs, in submit
        ticket.error = error
