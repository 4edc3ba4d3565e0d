"""Carry out the verbs on any SQL database: the contract of `interface.py` in terms of the statements in `sql/`.

A database's own module gives the transaction (`_write`, `_read`), the insertion of jobs, and arrays as parameters.
"""

from __future__ import annotations

import json
import os
import random
import socket
from functools import partial
from itertools import chain
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

from sqlite_job.core.errors import DuplicateJobError, JobNotFoundError, JobStateError
from sqlite_job.core.jobs import ClaimedJob, NewJob, RescuedJob
from sqlite_job.core.notes import JobNotes
from sqlite_job.core.outcomes import (
    Completed,
    Outcome,
)
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.admission import admit, find_holder, take_key
from sqlite_job.storage.arguments import ArgumentVerbs
from sqlite_job.storage.inserting import insert_jobs
from sqlite_job.storage.interface import CancelRequest, Exchange, Peek, Wanted, WorkerRow
from sqlite_job.storage.limiting import RatedClaim, release_after, release_group
from sqlite_job.storage.looking import LookVerbs
from sqlite_job.storage.noting import NotingVerbs, write_notes
from sqlite_job.storage.pausing import QueueVerbs, leave_out_paused
from sqlite_job.storage.pruning import PruneVerbs
from sqlite_job.storage.queue_limiting import QueueLimitedClaim, leave_out_full
from sqlite_job.storage.rescuing import find_dead, rescue_all
from sqlite_job.storage.scheduling import ScheduleVerbs
from sqlite_job.storage.settling import settle_one
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
from sqlite_job.storage.statement import Row
from sqlite_job.storage.transaction import Transaction
from sqlite_job.storage.weighing import claim_by_weight

T = TypeVar("T")


# In one transaction, which others wait for.
_MOST_EXPIRED = _MOST_FORGOTTEN = 500

_NOTHING: Mapping[str, str] = {}


class _Stale(Exception):  # noqa: N818 - a signal to roll back, never seen outside
    """Some outcome of a batch changed nothing: which one must be found row by row."""


class SQLStorage(LookVerbs, ArgumentVerbs, ScheduleVerbs, QueueVerbs, PruneVerbs, NotingVerbs):
    """The verbs of `Storage`, on top of a database's own transactions."""

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
        try:
            return self._write(partial(self._exchange, worker_id, outcomes, wanted, now, notes, self._settle_all))
        except _Stale:
            settle = self._settle_one_by_one
            return self._write(partial(self._exchange, worker_id, outcomes, wanted, now, notes, settle))

    def peek(self, wanted: Wanted, now: int) -> Peek:
        """Read what an exchange would find."""

        def look(transaction: Transaction) -> Peek:
            functions = self._array(wanted.claimable)
            queues, next_start = leave_out_full(transaction, leave_out_paused(transaction, wanted)[0], now)
            looks = (job.IS_CLAIMABLE, job.IS_SUSPECT_CLAIMABLE) if wanted.takes_suspect else (job.IS_CLAIMABLE,)
            # First what a worker was woken for: each query here is between an enqueue and the start of its job.
            if any(transaction.rows(statement, queue, functions, now) for statement in looks for queue in queues):
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
            seq, status = _locate(transaction, job_id)
            if status is JobStatus.RUNNING:
                raise JobStateError("delete", job_id, status, "wait for its end, or cancel it first")
            groups = transaction.rows(group.OF_JOBS, self._array([seq]))
            self._delete_jobs(transaction, [seq])
            for (group_key,) in groups:
                release_group(transaction, group_key, 0)
            return status

        return self._write(remove)

    def cancel(self, job_id: str, reason: Optional[str], now: int) -> JobStatus:
        """Cancel a waiting job, or ask for it."""

        def end(transaction: Transaction) -> JobStatus:
            seq, status = _locate(transaction, job_id)
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
            seqs = [seq for (seq,) in transaction.rows(expiry.FIND, now, _MOST_EXPIRED)]
            transaction.many(expiry.EXPIRE, [(now, seq) for seq in seqs])
            transaction.many(suspect.REMOVE, [(seq,) for seq in seqs])
            release_after(transaction, self._array, seqs, now)
            return len(seqs)

        return self._write(end)

    def forget_unused(self, now: int) -> int:
        """Delete rates and unique keys that mean nothing any more."""
        rates = self._read(lambda transaction: transaction.rows(rate.FIND_UNUSED, now, _MOST_FORGOTTEN))
        keys = self._read(lambda transaction: transaction.rows(unique.FIND_UNUSED, now, _MOST_FORGOTTEN))
        if not rates and not keys:
            return 0

        def forget(transaction: Transaction) -> int:
            gone = [key for (key,) in rates if transaction.run(rate.FORGET, key, now)]
            transaction.many(rate.FORGET_STARTS, [(key, now) for key in gone])
            return len(gone) + transaction.many(unique.FORGET, [(key, now) for (key,) in keys])

        return self._write(forget)

    def cancel_requests(self, worker_id: int) -> List[CancelRequest]:
        """Read which jobs of a worker are to be cancelled."""
        rows = self._read(lambda transaction: transaction.rows(job.CANCEL_REQUESTS, worker_id))
        return [CancelRequest(*row) for row in rows]

    def requeue(self, job_id: str, now: int) -> JobStatus:
        """Make a finished job pending again."""

        def again(transaction: Transaction) -> JobStatus:
            seq, status = _locate(transaction, job_id)
            self._take_key_again(transaction, seq, now)
            if not transaction.run(job.REQUEUE, seq):
                raise JobStateError("requeue", job_id, status, "only a finished job can be run again")
            transaction.run(result.DELETE, seq)
            transaction.run(progress.DELETE, seq)
            transaction.run(suspect.REMOVE, seq)
            release_after(transaction, self._array, [seq], now)
            return status

        return self._write(again)

    def register_worker(self, queues: Sequence[str], now: int, lease: int) -> int:
        """Record a worker of this process."""
        facts = (socket.gethostname(), os.getpid(), json.dumps(list(queues)), now, now + lease)

        def register(transaction: Transaction) -> int:
            while True:
                worker_id = int(transaction.rows(worker.REGISTER, *facts)[0][0])
                # Before the commit: nobody may see the row and find the lock free.
                if self._show_alive(worker_id):
                    return worker_id
                # A worker of the database that was here before this one still has that number.
                transaction.run(worker.UNREGISTER, worker_id)

        return self._write(register)

    def heartbeat(self, worker_id: int, now: int, lease: int) -> bool:
        """Renew the lease."""
        return self._write(lambda transaction: transaction.run(worker.HEARTBEAT, now, now + lease, worker_id)) > 0

    def unregister_worker(self, worker_id: int) -> None:
        """Forget a worker."""
        self._write(lambda transaction: transaction.run(worker.UNREGISTER, worker_id))
        self._show_ended(worker_id)

    def abandon_worker(self, worker_id: int) -> None:
        """Show that a worker has ended, and leave its row to be found."""
        self._show_ended(worker_id)

    def workers(self) -> List[WorkerRow]:
        """Read the registered workers."""
        return [WorkerRow(*row) for row in self._read(lambda transaction: transaction.rows(worker.ALL))]

    def rescue(self, now: int, max_deaths: int, *, by_lease: bool = True) -> List[RescuedJob]:
        """Take the jobs of dead workers from them."""
        # Leases never run out before the beginning of time.
        dead = self._read(partial(find_dead, self._is_ended, now if by_lease else 0))
        if not dead:
            return []
        return self._write(partial(rescue_all, dead, now, max_deaths, self._array))

    def _show_alive(self, worker_id: int) -> bool:
        """Make it visible to others, for as long as this process lives, that the worker does.

        False when another process shows that already.
        """
        raise NotImplementedError

    def _show_ended(self, worker_id: int) -> None:
        """Undo `_show_alive`."""
        raise NotImplementedError

    def _is_ended(self, worker_id: int) -> bool:
        """Whether the worker's process has surely ended."""
        raise NotImplementedError

    def _next_seq(self, transaction: Transaction, count: int) -> int:
        """Return the first of `count` seqs that nobody else gets."""
        raise NotImplementedError

    def _enqueue(self, transaction: Transaction, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        own_ids = [new.id for new in jobs if new.has_own_id]
        if own_ids:
            jobs = self._without_existing(transaction, jobs, own_ids)
        if any(new.conditions is not None for new in jobs):
            return admit(transaction, jobs, self._insert)
        self._insert(transaction, jobs)
        return _NOTHING

    def _insert(self, transaction: Transaction, jobs: Sequence[NewJob]) -> int:
        first_seq = self._next_seq(transaction, len(jobs))
        insert_jobs(transaction, jobs, first_seq)
        return first_seq

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
        if notes:
            write_notes(notes, transaction)
        stale = settle(transaction, worker_id, outcomes, now) if outcomes else []
        if outcomes:
            release_after(transaction, self._array, [outcome.seq for outcome in outcomes], now)
        self._promote(transaction, now)
        if not wanted:
            return Exchange([], stale)
        if not transaction.rows(worker.IS_REGISTERED, worker_id):
            # Whoever believed this worker dead would never look for what it claimed now.
            return Exchange([], stale, is_expelled=True)
        wanted, paused = leave_out_paused(transaction, wanted)
        limited = QueueLimitedClaim(transaction, wanted, now) if wanted.queue_limits else None
        wanted = limited.leave_out_full() if limited else wanted
        rated = RatedClaim(transaction, self._array, wanted, now)
        rated.release()
        suspect_job = self._claim_suspect(transaction, worker_id, wanted, now) if wanted.takes_suspect else None
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
        unlimited = self._take_unlimited(transaction, claimed, wanted.limited) if wanted.limited and claimed else ()
        return Exchange(claimed, stale, suspect=suspect_job, unlimited=unlimited, paused=paused)

    def _take_unlimited(
        self, transaction: Transaction, claimed: List[ClaimedJob], limited: Sequence[str]
    ) -> List[ClaimedJob]:
        """Take those out of `claimed` that have no limit, although their function has one."""
        seqs = self._array([job.seq for job in claimed if job.function in limited])
        unlimited = {seq for (seq,) in transaction.rows(group.WITHOUT_LIMITS, seqs)}
        taken = [job for job in claimed if job.seq in unlimited]
        if taken:
            claimed[:] = [job for job in claimed if job.seq not in unlimited]
        return taken

    def _promote(self, transaction: Transaction, now: int) -> None:
        promoted = transaction.rows(job.PROMOTE, now)
        limited = [seq for seq, group_key, rate_key in promoted if group_key is not None or rate_key is not None]
        if limited:
            release_after(transaction, self._array, limited, now)

    def _claim(self, transaction: Transaction, worker_id: int, wanted: Wanted, now: int) -> List[ClaimedJob]:
        functions = self._array(wanted.functions)
        claimed: List[ClaimedJob] = []
        for queue in wanted.queues:
            room = wanted.room - len(claimed)
            if room <= 0:
                break
            rows = transaction.rows(job.CLAIM, now, worker_id, queue, functions, room)
            if rows:
                claimed += self._with_payloads(transaction, rows)
        return claimed

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
            if transaction.many(job.COMPLETE, [outcome[:4] for outcome in completed]) != len(completed):
                raise _Stale
            transaction.insert(result.INSERT, [(outcome[2], *outcome[4:]) for outcome in completed])
        if len(completed) == len(outcomes):
            return []
        others = [outcome for outcome in outcomes if type(outcome) is not Completed]
        return self._settle_one_by_one(transaction, worker_id, others, now)

    def _settle_one_by_one(
        self, transaction: Transaction, worker_id: int, outcomes: Sequence[Outcome], now: int
    ) -> List[Outcome]:
        return [outcome for outcome in outcomes if not settle_one(transaction, worker_id, outcome, now)]


def _locate(transaction: Transaction, job_id: str) -> Tuple[int, JobStatus]:
    rows = transaction.rows(job.STATUS, job_id)
    if not rows:
        raise JobNotFoundError(job_id)
    return rows[0][0], JobStatus(rows[0][1])
