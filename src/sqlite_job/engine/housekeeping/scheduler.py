"""Make the jobs of schedules when they are due."""

from __future__ import annotations

import random
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from sqlite_job.core.clock import SECOND, Clock
from sqlite_job.core.conditions import Flow
from sqlite_job.core.errors import DatabaseFullError, DecodeError
from sqlite_job.core.events import Events, ScheduleFailed, SchedulesFired, SlotsMissed, StorageFailed
from sqlite_job.core.job_maker import JobMaker, Resolved
from sqlite_job.core.jobs import NewJob
from sqlite_job.core.schedules import Firing, Schedule, load_options, payload_id, slot_id
from sqlite_job.core.serializers import Codecs
from sqlite_job.core.slots import MOST_JOBS, due_slots
from sqlite_job.storage.interface import Storage

# A safety net: what is due sooner is known from the last look, or from `expect`.
_LONGEST_WAIT = 5.0

# After the disk was found full.
_PAUSE = 1.0


class Scheduler:
    """A service that is due whenever a schedule is; any number of workers do it, and each slot is one's."""

    def __init__(
        self,
        storage: Storage,
        functions: Sequence[str],
        codecs: Codecs,
        maker: JobMaker,
        *,
        clock: Clock,
        events: Events,
        flows: Mapping[str, Optional[Flow]] = MappingProxyType({}),
    ) -> None:
        """Fire the schedules of these functions; `codecs` decode their arguments, `maker` makes the jobs.

        `flows` says what each function has of limits and unique keys: a slot makes no job while its key is held.
        """
        self._storage = storage
        self._functions = functions
        self._codecs = codecs
        self._maker = maker
        self._flows = flows
        self._clock = clock
        self._events = events
        self._looked_at = 0
        self._next_at: Optional[int] = None
        self._shortest_wait = 0.0
        # Schedules that cannot be fired here, as they were read: each is told once, until something about it changes.
        self._failed: Dict[str, Schedule] = {}

    @property
    def every_seconds(self) -> float:
        """Seconds from the last look to the next."""
        if self._next_at is None:
            return _LONGEST_WAIT
        return min(max((self._next_at - self._looked_at) / SECOND, self._shortest_wait), _LONGEST_WAIT)

    def expect(self, next_at: Optional[int]) -> None:
        """Take note of when the first schedule is due: somebody may have made it since the last look."""
        if next_at is None or any(failed.next_at == next_at for failed in self._failed.values()):
            return
        if self._next_at is None or next_at < self._next_at:
            self._next_at = next_at

    def tick(self) -> None:
        """Fire what is due, some of it if that is much."""
        now = self._clock.now()
        found = self._storage.due_schedules(self._functions, now)
        self._failed = {one.name: one for one in found.due if self._failed.get(one.name) == one}
        firings, has_more = self._prepare(found.due, now)
        following = [now if has_more else found.next_at, *(firing.next_at for firing in firings)]
        self._looked_at = now
        self._next_at = min((at for at in following if at is not None), default=None)
        self._fire(firings)

    def _prepare(self, due: Sequence[Schedule], now: int) -> Tuple[List[Firing], bool]:
        """Return what is to be written, bounded, and whether some is left for the next time."""
        firings: List[Firing] = []
        jobs = 0
        for schedule in due:
            if schedule.name in self._failed:
                continue
            if jobs >= MOST_JOBS:
                return firings, True
            try:
                firings.append(self._firing(schedule, now))
            except Exception as error:  # noqa: BLE001 - a row may hold anything, and the others must go on
                self._failed[schedule.name] = schedule
                self._events.emit(ScheduleFailed(schedule.name, error))
            else:
                jobs += len(firings[-1].jobs)
        return firings, False

    def _firing(self, schedule: Schedule, now: int) -> Firing:
        assert schedule.next_at is not None  # noqa: S101 - it is due
        due = due_slots(schedule.timetable(), schedule.next_at, now, schedule.misfire, schedule.max_late)
        jobs = self._jobs(schedule, due.slots, now) if due.slots else []
        last_at = due.slots[-1] if due.slots else schedule.last_at
        return Firing(schedule, due.next_at, last_at, jobs, due.missed)

    def _jobs(self, schedule: Schedule, slots: Sequence[int], now: int) -> List[NewJob]:
        args, kwargs = self._arguments(schedule)
        options = load_options(schedule.options)
        resolved = Resolved(schedule.function, options.queue or "default", 0, flow=self._flows.get(schedule.function))
        jobs = []
        for slot in slots:
            job_id = slot_id(schedule.name, slot)
            run_at = slot + random.randrange(schedule.jitter) if schedule.jitter else None  # noqa: S311 - no secret
            said = replace(options, job_id=job_id, run_at=run_at)
            made = self._maker.make(resolved, args, kwargs, said, job_id, now)
            jobs.append(made._replace(preview=schedule.preview))
        return jobs

    def _arguments(self, schedule: Schedule) -> Tuple[Sequence[Any], Mapping[str, Any]]:
        found = self._codecs.decode(schedule.codec, schedule.args, schedule.function, payload_id(schedule.name))
        try:
            args, kwargs = found
        except (TypeError, ValueError):
            raise DecodeError(f"the arguments of schedule {schedule.name!r} are not arguments") from None
        return args, kwargs

    def _fire(self, firings: Sequence[Firing]) -> None:
        self._shortest_wait = 0.0
        if not firings:
            return
        try:
            moved = self._storage.fire_schedules(firings)
        except DatabaseFullError as error:
            # Not for the loop to hear of: the jobs that are there must go on, and make room.
            self._next_at, self._shortest_wait = self._looked_at, _PAUSE
            self._events.emit(StorageFailed(error, _PAUSE))
            return
        fired = [(firing.schedule.name, [job.id for job in firing.jobs]) for firing in moved if firing.jobs]
        if fired:
            self._events.emit(SchedulesFired(fired))
        for firing in moved:
            if firing.missed:
                self._events.emit(SlotsMissed(firing.schedule.name, firing.missed, firing.schedule.misfire))
