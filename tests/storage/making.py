"""Make the values that storage takes."""

from __future__ import annotations

import pickle
from itertools import count

from sqlite_job.core.jobs import ClaimedJob, NewJob
from sqlite_job.core.outcomes import Completed, Failed, FailureReport
from sqlite_job.storage.interface import Wanted

NOW = 1_800_000_000_000_000
LEASE = 30_000_000
WORKERS = range(1, 8)

_numbers = count(1)


def new_job(job_id=None, **changes):
    """Return a job to enqueue: add(1, 2) on the queue "default"."""
    job = NewJob(
        id=job_id or f"job-{next(_numbers)}",
        queue="default",
        function="add",
        priority=0,
        created_at=NOW,
        run_at=None,
        max_tries=None,
        timeout=None,
        codec="pickle",
        args=pickle.dumps(((1, 2), {})),
        preview="1, 2",
        tags=None,
        meta=None,
        has_own_id=job_id is not None,
    )
    return job._replace(**changes)


def execute(storage, statement, *values):
    """Run one statement as it stands, with `?` for values; return its rows, if it has any."""

    def run(transaction):
        cursor = transaction._cursor
        cursor.execute(statement if "sqlite" in type(cursor).__module__ else statement.replace("?", "%s"), values)
        return cursor.fetchall() if cursor.description else []

    return storage._write(run)


def claimed_job(seq, function="add"):
    """Return a job as a claim gives it."""
    return ClaimedJob(seq, 1, 1, f"job-{seq}", "default", function, None, None, 0, None, "pickle", b"", None, None)


def wanted(room=100, queues=("default",), functions=("add",), takes_suspect=True):
    return Wanted(tuple(queues), tuple(functions), room, takes_suspect)


def claim(storage, room=100, worker_id=1, now=NOW, **options):
    """Claim jobs, and return them."""
    exchange = storage.exchange(worker_id, [], wanted(room, **options), now)
    return exchange.claimed + ([exchange.suspect] if exchange.suspect else [])


def settle(storage, *outcomes, worker_id=1, now=NOW):
    """Settle outcomes without claiming, and return those that changed nothing."""
    return storage.exchange(worker_id, outcomes, None, now).stale


def completed(job, value=b"3", claim_number=None):
    number = job.claim_number if claim_number is None else claim_number
    return Completed(NOW + 1, NOW + 2, job.seq, number, "pickle", value, "3")


def failed(job):
    report = FailureReport(job.tries, "ValueError", "no", "Traceback: no")
    return Failed(NOW + 1, NOW + 2, job.seq, job.claim_number, report)
