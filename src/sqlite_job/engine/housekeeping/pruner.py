"""Prune the finished jobs of a worker's queues when they have been kept for their time."""

from __future__ import annotations

from functools import partial
from typing import Optional, Sequence

from sqlite_job.core.clock import SECOND, Clock, elapsed
from sqlite_job.core.events import Events, JobsPruned
from sqlite_job.core.retention import START, Old, Place, Pruned, Retention
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.interface import Storage

# How often to look when there is nothing to do; oftener where jobs are kept for less than ten minutes.
_IDLE_SECONDS = 60.0
_SHORTEST_IDLE_SECONDS = 1.0
_IDLE_PART = 10

# While there is more to do: the pause between two batches, and how many times as long as a batch it is at least.
_BUSY_SECONDS = 0.02
_BUSY_FACTOR = 4

# Where jobs end faster than that prunes them, the file would grow without end: then there is no pause, and two batches
# for each turn of the worker, which settles about as many jobs as one batch has. But not for what is older than this:
# it is left from a time when nobody pruned, and may take its time.
_HURRY_WITHIN = 600 * SECOND

# A job comes to its place in the order when its end is committed: perhaps after a walk that has passed it.
_LATE = 10 * SECOND

# Then all that is kept is looked at once more, for what came in far behind: the clock was set back, a commit failed for
# minutes, a job was kept as the window of a unique key.
_ANEW_SECONDS = 6 * 3600.0


class Pruner:
    """A service that deletes a batch of old jobs at a time, and gives space back when none is left.

    It remembers how far it came, so that what is kept longer is looked at once and not each time.
    """

    def __init__(
        self, storage: Storage, retention: Retention, queues: Sequence[str], *, clock: Clock, events: Events
    ) -> None:
        """Prune the functions that `retention` knows, in these queues."""
        self._storage = storage
        self._retention = retention
        self._queues = frozenset(queues)
        self._clock = clock
        self._events = events
        self._walks = [_Walk(period) for period in retention.periods()]
        shortest = self._walks[0].period / SECOND if self._walks else _IDLE_SECONDS * _IDLE_PART
        self._idle_seconds = min(max(shortest / _IDLE_PART, _SHORTEST_IDLE_SECONDS), _IDLE_SECONDS)
        self.every_seconds = self._idle_seconds
        self._anew_at = elapsed() + _ANEW_SECONDS
        self._pruned = 0

    def tick(self) -> None:
        """Delete one batch, or take one step of giving space back, and say when to go on."""
        began = elapsed()
        if began >= self._anew_at:
            self._anew_at = began + _ANEW_SECONDS
            self._walks = [_Walk(walk.period) for walk in self._walks]
        walk = self._prune()
        if walk is not None and walk.must_hurry:
            self._prune()
            self.every_seconds = 0.0
        elif walk is not None or self._storage.give_back_space():
            # Counted from where this batch began: so much rest behind it.
            took = elapsed() - began
            self.every_seconds = took + max(_BUSY_SECONDS, _BUSY_FACTOR * took)
        else:
            self.every_seconds = self._idle_seconds

    def _prune(self) -> Optional[_Walk]:
        """Do the next batch, and return whose it was; None when there is none, or somebody else is at it."""
        now = self._clock.now()
        for walk in self._walks:
            old = Old(now - walk.period, partial(self._is_old, walk.period))
            pruned = self._storage.prune(old, walk.place, now)
            walk.go_on(pruned, old.until)
            self._pruned += pruned.jobs
            if pruned.missed > pruned.jobs:
                break
            if pruned.jobs or not pruned.is_end:
                return walk
        for walk in self._walks:
            walk.step_back()
        if self._pruned:
            self._events.emit(JobsPruned(self._pruned))
            self._pruned = 0
        return None

    def _is_old(self, period: int, queue: str, function: str, status: JobStatus) -> bool:
        return queue in self._queues and self._retention.of(function, status) == period


class _Walk:
    """How far all jobs have been looked at that are kept for one period."""

    def __init__(self, period: int) -> None:
        self.period = period
        self.place = START
        self.must_hurry = False
        self._furthest = START
        self._distance: Optional[int] = None

    def go_on(self, pruned: Pruned, until: int) -> None:
        """Come to a place; if the time up to which to go has gone on further, the walk must hurry to its end."""
        distance = until - pruned.place.finished_at
        is_left_behind = self._distance is not None and self._distance < distance < _HURRY_WITHIN
        self.must_hurry = not pruned.is_end and (self.must_hurry or is_left_behind)
        self.place, self._distance = pruned.place, distance

    def step_back(self) -> None:
        """Go on with what may have come in behind."""
        self._furthest, self._distance = max(self._furthest, self.place), None
        self.place = Place(self._furthest.finished_at - _LATE, 0)
