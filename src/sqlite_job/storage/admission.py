"""Admit new jobs: those whose unique key another one has are not stored, or take the place of that one."""

from __future__ import annotations

from typing import Callable, Dict, Iterator, NamedTuple, Optional, Sequence

from sqlite_job.core.errors import DuplicateJobError
from sqlite_job.core.jobs import Conditions, NewJob
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.limiting import register_limits, release_groups
from sqlite_job.storage.lock_order import group_lock, rate_lock, unique_lock
from sqlite_job.storage.sql import group, job, unique
from sqlite_job.storage.statement import Row
from sqlite_job.storage.transaction import Transaction

Insert = Callable[[Transaction, Sequence[NewJob]], Sequence[int]]


class Holder(NamedTuple):
    """The job that has a unique key; without id and status it was deleted, and its window goes on."""

    seq: int
    until: Optional[int]
    id: Optional[str]
    status: Optional[JobStatus]
    group_key: Optional[str]

    @property
    def is_unfinished(self) -> bool:
        """Whether it is still to run, or runs."""
        return self.status is not None and not self.status.is_final


def admit(transaction: Transaction, jobs: Sequence[NewJob], insert: Insert) -> Dict[str, str]:
    """Store jobs that have conditions, among others that have none; `insert` returns the seqs.

    Returns the id of the existing job for each that was not stored. Raises DuplicateJobError.
    """
    existing: Dict[str, str] = {}
    transaction.serialize(_locks(transaction, jobs))
    if any(new.conditions is not None and new.conditions.unique_key is not None for new in jobs):
        # One after the other: each may meet the one before it.
        for new in jobs:
            found = _admit_one(transaction, new, insert)
            if found is not None:
                existing[new.id] = found
        return existing
    insert(transaction, jobs)
    register_limits(transaction, jobs, jobs[0].created_at)
    return existing


def _locks(transaction: Transaction, jobs: Sequence[NewJob]) -> Iterator[str]:
    for conditions in (new.conditions for new in jobs):
        if conditions is None:
            continue
        if conditions.unique_key is not None:
            yield unique_lock(conditions.unique_key)
            yield group_lock(_followers_of(conditions.unique_key))
            if conditions.on_conflict == "replace" and not transaction.is_alone:
                # Its place there may become free.
                holders = transaction.rows(unique.HOLDER, conditions.unique_key)
                yield from (group_lock(group_key) for *_, group_key in holders if group_key is not None)
        if conditions.group_key is not None:
            yield group_lock(conditions.group_key)
        if conditions.rate_key is not None:
            yield rate_lock(conditions.rate_key)


def find_holder(transaction: Transaction, key: str, now: int) -> Optional[Holder]:
    """Return who has a key now: a job that has not finished, or one whose window has not passed."""
    rows = transaction.rows(unique.HOLDER, key)
    for holder in (_holder(row) for row in rows):
        if holder.is_unfinished or (holder.until is not None and holder.until > now):
            return holder
    # One that followed a running job took its key, and ended first: cancelled, expired, or deleted.
    for row in transaction.rows(unique.PRECURSOR, _followers_of(key), key):
        return _holder(row)
    return None


def take_key(transaction: Transaction, key: str, seq: int, until: Optional[int]) -> None:
    """Give a key to a job."""
    transaction.run(unique.FREE, key)
    transaction.insert(unique.TAKE, [(key, seq, until)])


def _admit_one(transaction: Transaction, new: NewJob, insert: Insert) -> Optional[str]:
    conditions = new.conditions
    if conditions is None or conditions.unique_key is None:
        insert(transaction, (new,))
        register_limits(transaction, (new,), new.created_at)
        return None
    holder = find_holder(transaction, conditions.unique_key, new.created_at)
    if holder is not None and conditions.on_conflict == "replace" and not transaction.is_alone:
        # A worker may be claiming it, or settling it: only behind that it is what it will be until our commit.
        transaction.rows(job.LOCK, holder.seq)
        holder = find_holder(transaction, conditions.unique_key, new.created_at)
    if holder is not None:
        if conditions.on_conflict == "raise" or holder.id is None:
            raise DuplicateJobError(conditions.unique_key, holder.id or "")
        if conditions.on_conflict == "existing" or holder.status is None or holder.status.is_final:
            return holder.id
        if holder.status is not JobStatus.RUNNING:
            _replace(transaction, holder, new)
            return holder.id
        new = _follow(transaction, holder.seq, new, conditions)
    (seq,) = insert(transaction, (new,))
    until = None if conditions.unique_for is None else new.created_at + conditions.unique_for
    take_key(transaction, conditions.unique_key, seq, until)
    register_limits(transaction, (new,), new.created_at)
    return None


def _replace(transaction: Transaction, holder: Holder, new: NewJob) -> None:
    """Give a waiting job the arguments, the time and the limits of the new one."""
    conditions = new.conditions or Conditions()
    if holder.group_key == _followers_of(conditions.unique_key) and conditions.group_key is None:
        # It waits for the end of a running one, and goes on to do so.
        conditions = conditions._replace(group_key=holder.group_key, group_limit=1)
        new = new._replace(conditions=conditions)
    limits = (conditions.expires_at, conditions.group_key, conditions.group_limit, conditions.rate_key)
    transaction.run(unique.REPLACE_PAYLOAD, new.codec, new.args, new.preview, holder.seq)
    if new.run_at is not None:
        transaction.run(unique.REPLACE_FOR_LATER, new.run_at, *limits, holder.seq)
    else:
        transaction.run(unique.REPLACE_FOR_NOW, None, *limits, holder.seq)
        transaction.run(unique.MAKE_READY, holder.seq)
    register_limits(transaction, (new,), new.created_at)
    if holder.group_key is not None:
        # It may have had a place there.
        transaction.serialize([group_lock(holder.group_key)])
        release_groups(transaction, [holder.group_key], new.created_at)


def _follow(transaction: Transaction, running: int, new: NewJob, conditions: Conditions) -> NewJob:
    """Let the new job wait for the end of the running one, which cannot be given new arguments any more."""
    if conditions.group_key is not None:
        return new
    group_key = _followers_of(conditions.unique_key)
    transaction.run(group.JOIN, group_key, running)
    return new._replace(conditions=conditions._replace(group_key=group_key, group_limit=1))


def _holder(row: Row) -> Holder:
    seq, until, job_id, status, group_key = row
    return Holder(seq, until, job_id, None if status is None else JobStatus(status), group_key)


def _followers_of(key: Optional[str]) -> str:
    # Not a key that a user may choose: names have no control characters.
    return f"unique\x1f{key}"
