"""Make schedules at run time, and look at all that there are: `jobs.schedules`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, List, Optional

from sqlite_job.core.clock import Clock
from sqlite_job.core.errors import InvalidNameError, InvalidOptionError, ScheduleNotFoundError
from sqlite_job.core.job_maker import JobMaker, Resolved
from sqlite_job.core.schedule_checks import check_entry, make_schedule
from sqlite_job.core.schedule_info import ScheduleInfo, schedule_info
from sqlite_job.core.schedules import Function, Schedule, ScheduleEntry, load_options, payload_id, slot_id
from sqlite_job.core.serializers import Codecs
from sqlite_job.core.tasks import Registry, as_task
from sqlite_job.job import Job
from sqlite_job.storage.interface import Storage


class Schedules:
    """The schedules of a database; those that settings list can be paused and run, and no more.

    A schedule makes jobs while a worker runs that has its function. Raises ScheduleNotFoundError for an unknown name.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        resolve: Callable[[Function], Resolved],
        registry: Optional[Registry],
        codecs: Codecs,
        maker: JobMaker,
        timezone: Any,
        job: Callable[[str], Job[Any]],
        clock: Clock,
    ) -> None:
        """Take the parts of a SQLiteJob."""
        self._storage = storage
        self._resolve = resolve
        self._registry = registry
        self._codecs = codecs
        self._maker = maker
        self._timezone = timezone
        self._job = job
        self._clock = clock

    def create(self, entry: ScheduleEntry, *, replace: bool = False) -> ScheduleInfo:
        """Store a schedule made by `cron` or `every`; one of its name is changed with `replace`.

        Raises ScheduleStateError without, InvalidOptionError, and as `enqueue` does.
        """
        return self._put(entry, may_create=True, may_change=replace)

    def change(self, name: str, entry: ScheduleEntry) -> ScheduleInfo:
        """Give a schedule a new definition; a pause stays, and if the times are the same, the next one stays, too.

        Raises ScheduleStateError for one that settings list, InvalidOptionError, and as `enqueue` does.
        """
        if isinstance(entry, ScheduleEntry):
            if entry.name not in (None, name):
                raise InvalidOptionError(f"a schedule keeps its name: {name!r}, not {entry.name!r}")
            entry = replace(entry, name=name)
        return self._put(entry, may_create=False, may_change=True)

    def pause(self, name: str) -> ScheduleInfo:
        """Let a schedule make no jobs, whatever becomes of workers, until it is resumed."""
        return schedule_info(self._storage.pause_schedule(_check(name), self._clock.now()))

    def resume(self, name: str) -> ScheduleInfo:
        """Let a paused schedule go on from now; what was due in the pause is not made up for."""
        return schedule_info(self._storage.resume_schedule(_check(name), self._clock.now()))

    def run_now(self, name: str) -> Job[Any]:
        """Enqueue a job of a schedule now, besides those it makes, also while it is paused; returns the job.

        Raises DecodeError where its arguments are signed, and this SQLiteJob has no key for them.
        """
        schedule, now = self._storage.schedule(_check(name)), self._clock.now()
        job_id = slot_id(name, now)
        options = load_options(schedule.options)
        codec, args = self._codecs.rebind(schedule.codec, schedule.args, schedule.function, payload_id(name), job_id)
        resolved = Resolved(schedule.function, "default", 0)
        plain = self._maker.make(resolved, (), {}, replace(options, job_id=job_id), job_id, now)
        self._storage.enqueue((plain._replace(codec=codec, args=args, preview=schedule.preview),))
        return self._job(job_id)

    def delete(self, name: str, *, force: bool = False) -> None:
        """Delete a schedule; its jobs stay.

        Raises ScheduleStateError for one that settings list. With `force` such a one is deleted, and comes back when a
        worker starts that lists it.
        """
        self._storage.delete_schedule(_check(name), also_listed=force)

    def get(self, name: str) -> ScheduleInfo:
        """Return what is known of a schedule."""
        return schedule_info(self._storage.schedule(_check(name)))

    def list(self) -> List[ScheduleInfo]:
        """Return all schedules, by name."""
        return [schedule_info(one) for one in self._storage.schedules()]

    def _put(self, entry: ScheduleEntry, *, may_create: bool, may_change: bool) -> ScheduleInfo:
        made = self._make(entry)
        stored = self._storage.put_schedule(made, self._clock.now(), may_create=may_create, may_change=may_change)
        return schedule_info(stored)

    def _make(self, entry: ScheduleEntry) -> Schedule:
        if not isinstance(entry, ScheduleEntry):
            raise InvalidOptionError(
                f"a schedule is made by cron('0 3 * * *', function) or every(60, function), not {entry!r}"
            )
        resolved = self._resolve(entry.function)
        checked, problems = check_entry(entry, self._timezone, self._find)
        if problems:
            raise InvalidOptionError(f"schedule {checked.name!r}: {'; '.join(problems)}")
        return make_schedule(checked, resolved, None, self._maker)

    def _find(self, function: Function) -> Optional[Callable[..., Any]]:
        if self._registry is not None:
            return self._registry.find(function).function
        return None if isinstance(function, str) else as_task(function).function


def _check(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidNameError(f"A schedule name is text, not {type(name).__name__}: {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ScheduleNotFoundError(name, ()) from None  # no database holds it
    return name
