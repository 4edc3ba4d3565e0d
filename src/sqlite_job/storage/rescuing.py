"""Take the jobs of dead workers from them."""

from __future__ import annotations

from typing import AbstractSet, Callable, Collection, Dict, List, NamedTuple, Optional, Sequence

from sqlite_job.core.jobs import RescuedJob
from sqlite_job.core.outcomes import Died, FailureReport
from sqlite_job.storage.limiting import release_after
from sqlite_job.storage.lock_order import Array, serialize_groups
from sqlite_job.storage.settling import settle_one
from sqlite_job.storage.sql import job, worker
from sqlite_job.storage.statement import Row
from sqlite_job.storage.tables import BY_LOCK
from sqlite_job.storage.transaction import Transaction

# Which of some workers have surely ended.
Ended = Callable[[Collection[int]], AbstractSet[int]]


class Dead(NamedTuple):
    """A worker to be forgotten, with the lease by which it was judged; None when it has no row."""

    worker_id: int
    lease_until: Optional[int]


def find_dead(ended: Ended, now: int, transaction: Transaction) -> List[Dead]:
    """Return the workers whose process has ended or whose lease has run out, and the unknown ones that hold jobs."""
    # Holders first: whoever holds a job was registered before, and is among the workers that are read after.
    holders = {row[0] for row in transaction.rows(job.HOLDERS)}
    rows = transaction.rows(worker.LEASES)
    leases: Dict[int, int] = {worker_id: lease_until for worker_id, lease_until, _ in rows}
    gone = ended([worker_id for worker_id, lease_until, kind in rows if kind == BY_LOCK and lease_until >= now])
    dead = [
        Dead(worker_id, lease_until)
        for worker_id, lease_until in leases.items()
        if lease_until < now or worker_id in gone
    ]
    # Held by nobody that is known: the last turn of a worker that was unregistered, a restored backup.
    return dead + [Dead(worker_id, None) for worker_id in holders - set(leases)]


def rescue_all(
    dead: Sequence[Dead], now: int, max_deaths: int, array: Array, transaction: Transaction
) -> List[RescuedJob]:
    """Free the jobs of these workers, unless somebody was quicker or a worker woke up; returns the jobs."""
    buried = [
        worker_id
        for worker_id, lease_until in sorted(dead, key=lambda one: one.worker_id)
        # Somebody else may have been quicker, or the worker may have woken up and renewed its lease.
        if lease_until is None or transaction.run(worker.BURY, worker_id, lease_until)
    ]
    held = [(worker_id, *row) for worker_id in buried for row in transaction.rows(job.HELD, worker_id)]
    seqs = [row[1] for row in held]
    serialize_groups(transaction, array, seqs)
    rescued = _take_all(held, now, max_deaths, transaction)
    release_after(transaction, array, seqs, now)
    return rescued


def _take_all(held: Sequence[Row], now: int, max_deaths: int, transaction: Transaction) -> List[RescuedJob]:
    rescued = []
    for worker_id, seq, claim_number, tries, deaths, started_at, job_id, function in held:
        is_final = deaths + 1 >= max_deaths
        message = f"worker {worker_id} died, or was cut off, while it held this job"
        report = FailureReport(tries, "WorkerDied", message, "")
        died = Died(started_at, now, seq, claim_number, report, is_final)
        # Unless another rescuer, or the worker's own last word, was quicker.
        if settle_one(transaction, worker_id, died, now):
            rescued.append(RescuedJob(job_id, function, deaths + 1, worker_id, is_final))
    if rescued:
        transaction.tell_workers()
        transaction.tell_waiters()
    return rescued
