"""Carry out the verbs on any SQL database: the contract of `interface.py` in terms of the statements in `sql/`.

A database's own module gives the transaction (`_write`, `_read`), the insertion of jobs, and arrays as parameters.
"""

from __future__ import annotations

import random
from functools import partial
from itertools import chain
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, TypeVar

from sqlite_job.core.errors import DuplicateJobError, JobStateError
from sqlite_job.core.jobs import ClaimedJob, NewJob
from sqlite_job.core.notes import JobNotes
from sqlite_job.core.outcomes import (
    Completed,
    Outcome,
)
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.admission import admit, find_holder, take_key
from sqlite_job.storage.arguments import ArgumentVerbs
from sqlite_job.storage.glancing import Glance, glance
from sqlite_job.storage.inserting import insert_jobs
from sqlite_job.storage.interface import CancelRequest, Exchange, Peek, Wanted
from sqlite_job.storage.limiting import RatedClaim, release_after, release_groups
from sqlite_job.storage.lock_order import locate, rate_lock, serialize_groups, serialize_turn, unique_lock
from sqlite_job.storage.looking import LookVerbs
from sqlite_job.storage.noting import NotingVerbs, write_notes
from sqlite_job.storage.pausing import QueueVerbs, leave_out_paused
from sqlite_job.storage.pruning import PruneVerbs
from sqlite_job.storage.queue_limiting import QueueLimitedClaim, leave_out_full
from sqlite_job.storage.registering import WorkerVerbs
from sqlite_job.storage.scheduling import ScheduleVerbs
from sqlite_job.storage.settling import MAY_WAIT_AGAIN, settle_one
from sqlite_job.storage.sql import (
    expiry,
    group,
    job,
    payload,
    progress,
    rate,
    result,
    schedule,
    suspect,
    unique,
    worker,
)
from sqlite_job.storage.statement import Row, Statement
from sqlite_job.storage.transaction import Transaction
from sqlite_job.storage.weighing import claim_by_weight

T = TypeVar("T")


# In one transaction, which others wait for.
_MOST_EXPIRED = _MOST_FORGOTTEN = 500

_NOTHING: Mapping[str, str] = {}


class _Stale(Exception):  # noqa: N818 - a signal to roll back, never seen outside
    """Some outcome of a batch changed nothing: which one must be found row by row."""


class SQLStorage(LookVerbs, ArgumentVerbs, ScheduleVerbs, QueueVerbs, PruneVerbs, NotingVerbs, WorkerVerbs):
    """The verbs of `Storage`, on top of a database's own transactions."""

    works_in_process: bool = False
    commit_seconds: float = 0.0

    # What decides between queues with weights.
    _draw = staticmethod(random.random)

    def exchange(
        self,
        worker_id: int,
        outcomes: Sequence[Outcome],
        wanted: Optional[Wanted],
        now: int,
        notes: Sequence[JobNotes] = (),
    ) -> Exchange:
        """Settle, promote and claim in one transaction."""
        write = self._write if outcomes or notes else self._write_claim
        try:
            return write(partial(self._exchange, worker_id, outcomes, wanted, now, notes, self._settle_all))
        except _Stale:
            settle = self._settle_one_by_one
            return self._write(partial(self._exchange, worker_id, outcomes, wanted, now, notes, settle))

    def sync(self) -> None:
        """Have nothing to wait for: each commit has waited."""

    def peek(self, wanted: Wanted, now: int) -> Peek:
        """Read what an exchange would find."""

        def look(transaction: Transaction) -> Peek:
            functions = self._array(wanted.claimable)
            queues, next_start = leave_out_full(transaction, leave_out_paused(transaction, wanted)[0], now)
            # First what a worker was woken for: each query here is between an enqueue and the start of its job.
            if any(transaction.rows(job.IS_CLAIMABLE, queue, functions, now) for queue in queues):
                return Peek(is_ready=True, next_run_at=None)
            looks_for_suspect = wanted.takes_suspect and transaction.rows(suspect.IS_ANY)
            if looks_for_suspect and any(
                transaction.rows(job.IS_SUSPECT_CLAIMABLE, queue, functions, now) for queue in queues
            ):
                return Peek(is_ready=True, next_run_at=None)
            if transaction.rows(rate.DUE, now, self._array(queues), functions, 1):
                return Peek(is_ready=True, next_run_at=None)
            times = (transaction.rows(job.NEXT_RUN_AT)[0][0], transaction.rows(rate.NEXT_AT, now)[0][0], next_start)
            next_run_at = min((time for time in times if time is not None), default=None)
            slots = transaction.rows(schedule.SOONEST, self._array(wanted.known))
            return Peek(next_run_at is not None and next_run_at <= now, next_run_at, slots[0][0] if slots else None)

        return self._read(look)

    def delete(self, job_id: str) -> JobStatus:
        """Delete a job and all that belongs to it."""

        def remove(transaction: Transaction) -> JobStatus:
            seq, status = locate(transaction, job_id)
            transaction.tell_waiters()
            if status is JobStatus.RUNNING:
                raise JobStateError("delete", job_id, status, "wait for its end, or cancel it first")
            groups = transaction.rows(group.OF_JOBS, self._array([seq]))
            self._delete_jobs(transaction, [seq])
            release_groups(transaction, [group_key for (group_key,) in groups], 0)
            return status

        return self._write(remove)

    def cancel(self, job_id: str, reason: Optional[str], now: int) -> JobStatus:
        """Cancel a waiting job, or ask for it."""

        def end(transaction: Transaction) -> JobStatus:
            seq, status = locate(transaction, job_id)
            transaction.tell_waiters()
            transaction.run(job.REQUEST_CANCEL if status is JobStatus.RUNNING else job.CANCEL_WAITING, now, reason, seq)
            transaction.run(suspect.REMOVE, seq)
            release_after(transaction, self._array, [seq], now)
            return status

        return self._write(end)

    def expire(self, now: int) -> int:
        """Cancel what has expired."""
        if not self._read(lambda transaction: transaction.rows(expiry.FIND, now, 1)):
            return 0

        def end(transaction: Transaction) -> int:
            seqs = sorted(seq for (seq,) in transaction.rows(expiry.FIND, now, _MOST_EXPIRED))
            serialize_groups(transaction, self._array, seqs)
            transaction.tell_waiters()
            expired = transaction.many(expiry.EXPIRE, [(now, seq) for seq in seqs])
            transaction.many(suspect.REMOVE, [(seq,) for seq in seqs])
            release_after(transaction, self._array, seqs, now)
            return expired

        return self._write(end)

    def forget_unused(self, now: int) -> int:
        """Delete rates and unique keys that mean nothing any more."""

        def find(unused: Statement, transaction: Transaction) -> List[str]:
            return [key for (key,) in transaction.rows(unused, now, _MOST_FORGOTTEN)]

        rates, keys = self._read(partial(find, rate.FIND_UNUSED)), self._read(partial(find, unique.FIND_UNUSED))
        if not rates and not keys:
            return 0

        def forget(transaction: Transaction) -> int:
            # What somebody is about to use stays.
            ours = transaction.try_serialize([*map(rate_lock, rates), *map(unique_lock, keys)])
            gone = [key for key in rates if rate_lock(key) in ours and transaction.run(rate.FORGET, key, now)]
            transaction.many(rate.FORGET_STARTS, [(key, now) for key in gone])
            unused = [(key, now) for key in keys if unique_lock(key) in ours]
            return len(gone) + transaction.many(unique.FORGET, unused)

        return self._write(forget)

    def cancel_requests(self, worker_id: int) -> List[CancelRequest]:
        """Read which jobs of a worker are to be cancelled."""
        rows = self._read(lambda transaction: transaction.rows(job.CANCEL_REQUESTS, worker_id))
        return [CancelRequest(*row) for row in rows]

    def requeue(self, job_id: str, now: int) -> JobStatus:
        """Make a finished job pending again."""

        def again(transaction: Transaction) -> JobStatus:
            seq, status = locate(transaction, job_id)
            transaction.tell_workers()
            self._take_key_again(transaction, seq, now)
            transaction.run(rate.LEAVE_FORGOTTEN, seq)
            if not transaction.run(job.REQUEUE, seq):
                raise JobStateError("requeue", job_id, status, "only a finished job can be run again")
            transaction.run(result.DELETE, seq)
            transaction.run(progress.DELETE, seq)
            transaction.run(suspect.REMOVE, seq)
            release_after(transaction, self._array, [seq], now)
            return status

        return self._write(again)

    def _next_seqs(self, transaction: Transaction, count: int) -> Sequence[int]:
        """Return so many seqs that nobody else gets, each higher than the one before."""
        raise NotImplementedError

    def _enqueue(self, transaction: Transaction, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        transaction.tell_workers()
        own_ids = [new.id for new in jobs if new.has_own_id]
        if own_ids:
            jobs = self._without_existing(transaction, jobs, own_ids)
        if any(new.conditions is not None for new in jobs):
            return admit(transaction, jobs, self._insert)
        self._insert(transaction, jobs)
        return _NOTHING

    def _insert(self, transaction: Transaction, jobs: Sequence[NewJob]) -> Sequence[int]:
        seqs = self._next_seqs(transaction, len(jobs))
        insert_jobs(transaction, jobs, seqs)
        return seqs

    def _take_key_again(self, transaction: Transaction, seq: int, now: int) -> None:
        for (key,) in transaction.rows(unique.KEY_OF_JOB, seq):
            holder = find_holder(transaction, key, now)
            if holder is not None and holder.seq != seq:
                raise DuplicateJobError(key, holder.id or "")
            take_key(transaction, key, seq, holder.until if holder is not None else None)

    def _without_existing(self, transaction: Transaction, jobs: Sequence[NewJob], own_ids: List[str]) -> List[NewJob]:
        existing = {row[0] for row in transaction.rows(job.EXISTING_IDS, self._array(own_ids))}
        fresh: Dict[str, NewJob] = {}
        for new in jobs:
            if new.id not in existing:
                fresh.setdefault(new.id, new)  # one id twice in a batch: the first one counts
        return list(fresh.values())

    def _exchange(  # noqa: PLR0917 - bound by partial, above
        self,
        worker_id: int,
        outcomes: Sequence[Outcome],
        wanted: Optional[Wanted],
        now: int,
        notes: Sequence[JobNotes],
        settle: Callable[[Transaction, int, Sequence[Outcome], int], List[Outcome]],
        transaction: Transaction,
    ) -> Exchange:
        if wanted and not transaction.is_alone:
            # Locked: who buries this worker, and then takes its jobs, waits before he has any lock that we need.
            transaction.rows(worker.IS_REGISTERED, worker_id)
        may_be_due = serialize_turn(transaction, self._array, outcomes, now)
        if notes:
            write_notes(notes, transaction)
        stale: List[Outcome] = []
        if outcomes:
            stale = settle(transaction, worker_id, outcomes, now)
            _tell_of(outcomes, transaction)
        seen = glance(transaction, worker_id, now) if wanted or may_be_due else Glance()
        promoted = self._promote(transaction, now) if may_be_due and seen.is_any_due else []
        release_after(transaction, self._array, [outcome.seq for outcome in outcomes] + promoted, now)
        if not wanted:
            return Exchange([], stale)
        if not seen.is_registered:
            # Whoever believed this worker dead would never look for what it claimed now.
            return Exchange([], stale, is_expelled=True)
        wanted, paused = leave_out_paused(transaction, wanted) if seen.is_any_paused else (wanted, ())
        limited = QueueLimitedClaim(transaction, wanted, now) if wanted.queue_limits else None
        wanted = limited.leave_out_full() if limited else wanted
        rated = RatedClaim(transaction, self._array, wanted, now)
        if seen.is_any_blocked or promoted:
            rated.release()
        takes_suspect = wanted.takes_suspect and seen.is_any_suspect
        suspect_job = self._claim_suspect(transaction, worker_id, wanted, now) if takes_suspect else None
        claim: Callable[[Wanted], List[ClaimedJob]] = partial(self._claim, transaction, worker_id, now=now)
        if limited:
            limited.take([suspect_job] if suspect_job else [])
            claim = partial(limited.claim, claim)
        claimed = claim_by_weight(wanted, claim, self._draw) if wanted.weights else claim(wanted)
        for name, room in wanted.batches:
            claimed += claim(wanted._replace(functions=(name,), room=room))
        rated.settle()
        if limited:
            limited.record()
        unlimited = self._take_unlimited(transaction, suspect_job, claimed, wanted.limited)
        return Exchange(claimed, stale, suspect=suspect_job, unlimited=unlimited, paused=paused)

    def _take_unlimited(
        self,
        transaction: Transaction,
        suspect_job: Optional[ClaimedJob],
        claimed: List[ClaimedJob],
        limited: Sequence[str],
    ) -> List[ClaimedJob]:
        """Return the jobs that have no limit, although their function has one; those of `claimed` are taken out."""
        if not limited:
            return []
        taken = self._without_limits(transaction, claimed, limited)
        if taken:
            seqs = {job.seq for job in taken}
            claimed[:] = [job for job in claimed if job.seq not in seqs]
        return self._without_limits(transaction, [suspect_job] if suspect_job else [], limited) + taken

    def _without_limits(
        self, transaction: Transaction, jobs: Sequence[ClaimedJob], limited: Sequence[str]
    ) -> List[ClaimedJob]:
        seqs = [job.seq for job in jobs if job.function in limited]
        if not seqs:
            return []
        found = {seq for (seq,) in transaction.rows(group.WITHOUT_LIMITS, self._array(seqs))}
        return [job for job in jobs if job.seq in found]

    def _promote(self, transaction: Transaction, now: int) -> List[int]:
        """Promote what is due, and return those that have limits."""
        promoted = transaction.rows(job.PROMOTE, now)
        if promoted:
            transaction.tell_workers()
        return [seq for seq, group_key, rate_key in promoted if group_key is not None or rate_key is not None]

    def _claim(self, transaction: Transaction, worker_id: int, wanted: Wanted, now: int) -> List[ClaimedJob]:
        functions = self._array(wanted.functions)
        claimed: List[ClaimedJob] = []
        for queue in wanted.queues:
            room = wanted.room - len(claimed)
            if room <= 0:
                break
            claimed += self._claim_of_queue(transaction, worker_id, queue, functions, room, now)
        return claimed

    def _claim_of_queue(  # noqa: PLR0917 - on the way of each job
        self, transaction: Transaction, worker_id: int, queue: str, functions: Any, room: int, now: int
    ) -> List[ClaimedJob]:
        rows = transaction.rows(job.CLAIM, now, worker_id, queue, functions, room)
        return self._with_payloads(transaction, rows) if rows else []

    def _claim_suspect(
        self, transaction: Transaction, worker_id: int, wanted: Wanted, now: int
    ) -> Optional[ClaimedJob]:
        functions = self._array(wanted.known)
        for queue in wanted.queues:
            rows = transaction.rows(job.CLAIM_SUSPECT, now, worker_id, queue, functions)
            if rows:
                (claimed,) = self._with_payloads(transaction, rows)
                transaction.run(suspect.REMOVE, claimed.seq)
                return claimed
        return None

    def _with_payloads(self, transaction: Transaction, rows: List[Row]) -> List[ClaimedJob]:
        rows.sort()
        found = transaction.rows(payload.OF_CLAIMED, self._array([row[1] for row in rows]))
        payloads = {row[0]: row[1:] for row in found}
        # A payload that is gone is told apart from an undecodable one by its empty codec; the job fails, alone.
        missing: Row = ("", b"", None, None)
        return [ClaimedJob._make(chain(row[1:], payloads.get(row[1], missing))) for row in rows]

    def _settle_all(
        self, transaction: Transaction, worker_id: int, outcomes: Sequence[Outcome], now: int
    ) -> List[Outcome]:
        completed = [outcome for outcome in outcomes if type(outcome) is Completed]
        if completed:
            if self._complete(transaction, [outcome[:4] for outcome in completed]) != len(completed):
                raise _Stale
            transaction.insert(result.INSERT, [(outcome[2], *outcome[4:]) for outcome in completed])
        if len(completed) == len(outcomes):
            return []
        others = [outcome for outcome in outcomes if type(outcome) is not Completed]
        return self._settle_one_by_one(transaction, worker_id, others, now)

    def _complete(self, transaction: Transaction, rows: Sequence[Row]) -> int:
        """Complete jobs, given as `completion.COMPLETE` wants them; returns how many fences held."""
        raise NotImplementedError

    def _settle_one_by_one(
        self, transaction: Transaction, worker_id: int, outcomes: Sequence[Outcome], now: int
    ) -> List[Outcome]:
        return [outcome for outcome in outcomes if not settle_one(transaction, worker_id, outcome, now)]


def _tell_of(outcomes: Sequence[Outcome], transaction: Transaction) -> None:
    transaction.tell_waiters()
    if any(type(outcome) in MAY_WAIT_AGAIN for outcome in outcomes):
        transaction.tell_workers()
