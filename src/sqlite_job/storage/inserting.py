"""Insert new jobs, whole batches in few statements."""

from __future__ import annotations

from typing import Dict, List, Sequence

from sqlite_job.core.context import parse_tags
from sqlite_job.core.jobs import NewJob
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.sql import job, payload, tag
from sqlite_job.storage.statement import Row
from sqlite_job.storage.transaction import Transaction

_ONE_JOB, _ITS_PAYLOAD = job.ENQUEUE_NEXT.rows(1), payload.INSERT_LAST.rows(1)


def insert_plain(transaction: Transaction, new: NewJob) -> None:
    """Insert one plain job where the database itself counts: the shortest way for what is stored most often."""
    transaction.run(_ONE_JOB, *new[:8])
    transaction.run(_ITS_PAYLOAD, *new[8:13])


def insert_jobs(transaction: Transaction, jobs: Sequence[NewJob], seqs: Sequence[int]) -> None:
    """Insert jobs under these seqs, with their payloads and tags."""
    numbered = list(zip(seqs, jobs))
    plain = [(seq, new) for seq, new in numbered if new.conditions is None]
    transaction.insert(job.ENQUEUE, [new.job_row(seq) for seq, new in plain if new.run_at is None])
    scheduled = [new.job_row(seq) for seq, new in plain if new.run_at is not None]
    if scheduled:
        transaction.insert(job.ENQUEUE_SCHEDULED, scheduled)
    if len(plain) < len(numbered):
        rows: Dict[JobStatus, List[Row]] = {}
        for seq, new in numbered:
            if new.conditions is not None:
                rows.setdefault(_first_status(new), []).append(new.conditional_row(seq))
        for status, of_status in rows.items():
            transaction.insert(job.ENQUEUE_CONDITIONAL[status], of_status)
    transaction.insert(payload.INSERT, [new.payload_row(seq) for seq, new in numbered])
    tags = [(label, seq) for seq, new in numbered if new.tags for label in parse_tags(new.tags)]
    if tags:
        transaction.insert(tag.INSERT, tags)


def _first_status(new: NewJob) -> JobStatus:
    if new.run_at is not None:
        return JobStatus.SCHEDULED
    is_limited = new.conditions is not None and new.conditions.is_limited
    return JobStatus.BLOCKED if is_limited else JobStatus.PENDING
