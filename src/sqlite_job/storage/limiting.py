"""Keep limits: release blocked jobs when their group has room, and when their rate allows another start.

Every place is read from the jobs' own rows and from the starts that were recorded, inside the write transaction that
changes them: nothing stays taken after a crash, and no two workers count apart.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from sqlite_job.core.clock import SECOND
from sqlite_job.core.jobs import Conditions, NewJob
from sqlite_job.storage.interface import Wanted
from sqlite_job.storage.lock_order import Array, group_lock, rate_lock
from sqlite_job.storage.sql import group, rate
from sqlite_job.storage.statement import Row
from sqlite_job.storage.transaction import Transaction

# How many rates are looked at in one turn of a worker.
_MOST_RATES = 100

# How old the time may be with which a worker comes that had to wait for others' locks.
_LONGEST_WAIT = 10 * SECOND


def register_limits(transaction: Transaction, jobs: Iterable[NewJob], now: int) -> None:
    """After these jobs were inserted: note their rates, and release what may start at once."""
    groups: Dict[str, None] = {}
    rates: Set[str] = set()
    for new in jobs:
        conditions = new.conditions
        if conditions is None:
            continue
        note_rate(transaction, conditions)
        if conditions.rate_key is not None and new.run_at is None:
            rates.add(conditions.rate_key)
        if conditions.group_key is not None and new.run_at is None:
            groups[conditions.group_key] = None
    release_groups(transaction, groups, now, rates)


def release_groups(transaction: Transaction, group_keys: Iterable[str], now: int, rates: Iterable[str] = ()) -> None:
    """Release as many of these groups as there is room for, and have these rates looked at, and those of the next.

    The transaction has serialized the groups.
    """
    rates = set(rates)
    for group_key in group_keys:
        while transaction.run(group.RELEASE, group_key):
            transaction.tell_workers()
        rates.update(key for (key,) in transaction.rows(group.RATE_OF_NEXT, group_key) if key is not None)
    if not rates:
        return
    # Behind whoever looks at them now: he may be about to write that nobody waits.
    transaction.serialize(map(rate_lock, rates))
    for rate_key in sorted(rates):
        if transaction.run(rate.TOUCH, now, rate_key):
            transaction.tell_workers()


def release_after(transaction: Transaction, array: Array, seqs: Sequence[int], now: int) -> None:
    """Release what waited for these jobs to end, and have them looked at again if they wait themselves."""
    # Where others write meanwhile, one may be about to block a job behind these: only the group's key tells.
    if not seqs or (transaction.is_alone and not transaction.rows(group.IS_ANY_BLOCKED)):
        return
    given = array(seqs)
    keys = sorted({key for (key,) in transaction.rows(group.OF_JOBS, given)})
    if keys:
        transaction.serialize(map(group_lock, keys))
    release_groups(transaction, keys, now, [key for (key,) in transaction.rows(rate.OF_JOBS, given)])


def oldest_that_counts(now: int, per: int) -> int:
    """Return the time until which starts count for nobody any more, also for who looked at the clock before us."""
    return now - per - _LONGEST_WAIT


class RatedClaim:
    """One worker's claim, as far as rates are concerned: `release` before it, and `settle` after it."""

    def __init__(self, transaction: Transaction, array: Array, wanted: Wanted, now: int) -> None:
        """Take what the worker may claim; `array` makes one parameter of several values."""
        self._transaction = transaction
        self._array = array
        self._wanted = wanted
        self._now = now
        self._released: List[int] = []
        self._rates: List[Row] = []

    def release(self) -> None:
        """Release what may start now, no more than there is room for."""
        due = self._transaction.rows(rate.DUE, self._now, *self._places(), _MOST_RATES)
        # A rate that another worker has in hand is that one's: nobody waits here, with locks of its own, for others.
        ours = self._transaction.try_serialize(rate_lock(row[0]) for row in due)
        self._rates = [row for row in due if rate_lock(row[0]) in ours]
        for key, starts, per in self._rates:
            counted = self._transaction.rows(rate.COUNT_STARTS, key, self._now - per)[0][0]
            most = min(starts - counted, self._wanted.room - len(self._released))
            if most > 0:
                self._released += self._release_some(key, most)

    def settle(self) -> None:
        """Record the starts, block again what was not claimed, and say when to look next."""
        if self._released:
            started = self._transaction.rows(rate.STARTED_OF, self._array(self._released))
            self._transaction.insert(rate.RECORD_START, [(key, self._now, *claim) for key, *claim in started])
            if len(started) < len(self._released):
                self._transaction.run(rate.BLOCK, self._array(self._released))
            # Others of their groups waited behind them.
            release_after(self._transaction, self._array, self._released, self._now)
        for key, starts, per in self._rates:
            self._transaction.run(rate.FORGET_STARTS, key, oldest_that_counts(self._now, per))
            next_at = self._next_at(key, starts, per)
            self._transaction.run(rate.SET_NEXT, next_at, key)
            if next_at is not None:
                # This worker may have no room by then, or not the function that waits.
                self._transaction.tell_workers()

    def _release_some(self, key: str, most: int) -> List[int]:
        candidates = self._candidates(key, most)
        groups = {group_lock(group_key) for _, group_key in candidates if group_key is not None}
        ours = self._transaction.try_serialize(groups) if groups else groups
        free = [seq for seq, group_key in candidates if group_key is None or group_lock(group_key) in ours]
        # One by one: the first of a group may take the place that the second was found to have.
        return [seq for seq in free if self._transaction.run(rate.RELEASE, seq)]

    def _next_at(self, key: str, starts: int, per: int) -> Optional[int]:
        latest = self._transaction.rows(rate.NTH_LATEST_START, key, starts - 1)
        if latest and latest[0][0] + per > self._now:
            return int(latest[0][0] + per)
        # Those that wait for their groups do not count: when one of them is next, its rate is touched.
        return self._now if self._transaction.rows(rate.IS_ANY_NEXT, key, self._now) else None

    def _candidates(self, key: str, most: int) -> List[Row]:
        return self._transaction.rows(rate.CANDIDATES, key, *self._places(), self._now, most)

    def _places(self) -> Tuple[Any, Any]:
        return self._array(self._wanted.queues), self._array(self._wanted.functions)


def note_rate(transaction: Transaction, conditions: Conditions) -> None:
    """Remember what the newest job under a rate says of it."""
    key = conditions.rate_key
    if key is None:
        return
    allowed = (conditions.rate_starts, conditions.rate_per)
    if not transaction.run(rate.ALLOW, *allowed, key):
        transaction.insert(rate.INSERT, [(key, *allowed, None)])
