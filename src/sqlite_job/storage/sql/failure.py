"""Statements on tries that did not succeed."""

from __future__ import annotations

from sqlalchemy import exists, func, select

from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import failure, job

_COLUMNS = (
    "seq",
    "claim_number",
    "try",
    "error_type",
    "message",
    "traceback",
    "started_at",
    "finished_at",
    "worker_id",
)

INSERT = Insert(failure, *_COLUMNS)

OF_JOB = Statement(
    select(
        failure.c["try"],
        failure.c.error_type,
        failure.c.message,
        failure.c.traceback,
        failure.c.started_at,
        failure.c.finished_at,
    )
    .select_from(failure.join(job, job.c.seq == failure.c.seq))
    .where(job.c.id == given("id"))
    .order_by(failure.c.claim_number),
    *names("id"),
)

# For an examination: whose job is gone.
COUNT_ORPHANS = Statement(
    select(func.count()).select_from(failure).where(~exists(select(job.c.seq).where(job.c.seq == failure.c.seq)))
)
