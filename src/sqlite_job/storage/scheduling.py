"""Keep schedules: those that settings list, and those made at run time; make the jobs of what is due."""

from __future__ import annotations

from functools import partial
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

from sqlite_job.core.errors import ScheduleNotFoundError, ScheduleStateError
from sqlite_job.core.jobs import NewJob
from sqlite_job.core.schedules import Firing, FoundSchedules, Schedule, SyncedSchedules
from sqlite_job.storage.sql import schedule
from sqlite_job.storage.transacting import Transacting
from sqlite_job.storage.transaction import Transaction

# Whoever changes which schedules there are, or when, is serialized by this.
_LOCK = ("schedules",)


class ScheduleVerbs(Transacting):
    """Carries them out on any SQL database."""

    def sync_schedules(self, origin: str, listed: Sequence[Schedule], now: int) -> SyncedSchedules:
        """Make the schedules of an origin those that are listed."""
        compare = partial(_compare, origin, listed, now)
        if not any(self._read(compare).synced):
            return SyncedSchedules([], [], [], [])

        def sync(transaction: Transaction) -> SyncedSchedules:
            _begin_change(transaction)
            return _carry_out(compare(transaction), transaction)

        return self._write(sync)

    def put_schedule(self, given: Schedule, now: int, *, may_create: bool, may_change: bool) -> Schedule:
        """Create a schedule, or define it anew."""

        def put(transaction: Transaction) -> Schedule:
            _begin_change(transaction)
            found = transaction.rows(schedule.GET, given.name)
            if not found and not may_create:
                raise _not_found(given.name, transaction)
            if not found:
                return _insert(given, now, transaction)
            stored = Schedule(*found[0])
            verb = "change" if may_change else "create"
            if stored.origin is not None:
                raise ScheduleStateError(verb, given.name, f"{stored.origin} lists it; change it there")
            if not may_change:
                raise ScheduleStateError(verb, given.name, "it exists already; change it, or create it with replace")
            return _define(stored, given, now, transaction)

        return self._write(put)

    def pause_schedule(self, name: str, now: int) -> Schedule:
        """Note when it was paused."""

        def pause(transaction: Transaction) -> Schedule:
            transaction.run(schedule.PAUSE, now, name)
            return _get(name, transaction)

        return self._write(pause)

    def resume_schedule(self, name: str, now: int) -> Schedule:
        """Forget the pause, and what was due in it."""

        def resume(transaction: Transaction) -> Schedule:
            _begin_change(transaction)
            stored = _get(name, transaction)
            if stored.paused_at is None:
                return stored
            is_to_come = stored.next_at is None or stored.next_at > now
            next_at = stored.next_at if is_to_come else stored.next_after(now)
            transaction.run(schedule.RESUME, next_at, name)
            return stored._replace(paused_at=None, next_at=next_at)

        return self._write(resume)

    def delete_schedule(self, name: str, *, also_listed: bool) -> None:
        """Delete its row."""

        def remove(transaction: Transaction) -> None:
            _begin_change(transaction)
            origin = _get(name, transaction).origin
            if origin is not None and not also_listed:
                mend = f"{origin} lists it; take it out there, or pause it. If these settings are gone, force it"
                raise ScheduleStateError("delete", name, mend)
            transaction.run(schedule.DELETE, name)

        self._write(remove)

    def schedules(self) -> List[Schedule]:
        """Read all."""
        return self._read(_all)

    def schedule(self, name: str) -> Schedule:
        """Read one."""
        return self._read(partial(_get, name))

    def due_schedules(self, functions: Sequence[str], now: int) -> FoundSchedules:
        """Read what is due, and when the next will be."""
        array = self._array(functions)

        def find(transaction: Transaction) -> FoundSchedules:
            due = [Schedule(*row) for row in transaction.rows(schedule.DUE, array, now)]
            following = transaction.rows(schedule.NEXT_AT, array, now)
            return FoundSchedules(due, following[0][0] if following else None)

        return self._read(find)

    def fire_schedules(self, firings: Sequence[Firing]) -> List[Firing]:
        """Compare, set, and insert jobs."""
        self._require_space()

        def fire(transaction: Transaction) -> List[Firing]:
            _begin_change(transaction)
            moved = [firing for firing in firings if _move(firing, transaction)]
            self._enqueue(transaction, [job for firing in moved for job in firing.jobs])
            return moved

        return self._write(fire)

    def _require_space(self) -> None:
        """Raise DatabaseFullError where no more jobs are taken."""
        raise NotImplementedError

    def _enqueue(self, transaction: Transaction, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        """Insert jobs, but for those whose id exists."""
        raise NotImplementedError


def _begin_change(transaction: Transaction) -> None:
    transaction.serialize(_LOCK)
    transaction.tell_workers()  # the time of the next slot may be another one


class _Comparison(NamedTuple):
    """What is different, and the rows to write: new ones, changed ones as (stored, wanted), names to remove."""

    synced: SyncedSchedules
    new: List[Schedule]
    changed: List[Tuple[Schedule, Schedule]]
    now: int


def _compare(origin: str, listed: Sequence[Schedule], now: int, transaction: Transaction) -> _Comparison:
    stored: Dict[str, Schedule] = {one.name: one for one in _all(transaction)}
    new = [one for one in listed if one.name not in stored]
    changed = [
        (stored[one.name], one)
        for one in listed
        if one.name in stored and (stored[one.name].origin, *stored[one.name].definition) != (origin, *one.definition)
    ]
    names = {one.name for one in listed}
    removed = [one.name for one in stored.values() if one.origin == origin and one.name not in names]
    taken = [(old.name, old.origin) for old, _ in changed if old.origin != origin]
    synced = SyncedSchedules([one.name for one in new], [old.name for old, _ in changed], removed, taken)
    return _Comparison(synced, new, changed, now)


def _carry_out(comparison: _Comparison, transaction: Transaction) -> SyncedSchedules:
    for one in comparison.new:
        _insert(one, comparison.now, transaction)
    for stored, wanted in comparison.changed:
        _define(stored, wanted, comparison.now, transaction)
    for name in comparison.synced.removed:
        transaction.run(schedule.DELETE, name)
    return comparison.synced


def _insert(given: Schedule, now: int, transaction: Transaction) -> Schedule:
    made = given._replace(created_at=now)
    made = made._replace(next_at=made.next_after(now))
    transaction.insert(schedule.INSERT, [made])
    return made


def _define(stored: Schedule, wanted: Schedule, now: int, transaction: Transaction) -> Schedule:
    made = Schedule(*wanted[:13], *stored[13:])
    if made.times != stored.times:
        made = made._replace(next_at=made.next_after(now))
    transaction.run(schedule.DEFINE, *made[1:13], made.next_at, made.name)
    return made


def _move(firing: Firing, transaction: Transaction) -> int:
    read = firing.schedule
    last = firing.jobs[-1].id if firing.jobs else read.last_job_id
    return transaction.run(schedule.FIRE, firing.next_at, firing.last_at, last, read.name, read.next_at)


def _all(transaction: Transaction) -> List[Schedule]:
    return [Schedule(*row) for row in transaction.rows(schedule.ALL)]


def _get(name: str, transaction: Transaction) -> Schedule:
    rows = transaction.rows(schedule.GET, name)
    if not rows:
        raise _not_found(name, transaction)
    return Schedule(*rows[0])


def _not_found(name: str, transaction: Transaction) -> ScheduleNotFoundError:
    return ScheduleNotFoundError(name, [one.name for one in _all(transaction)])
