"""Statements on jobs that were not started in time."""

from __future__ import annotations

from sqlalchemy import literal_column, select, update

from sqlite_job.core.jobs import EXPIRED
from sqlite_job.storage.sql.job import CANCELLED, RUNNING
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import job

# Index: expiring.
_EXPIRED = (
    select(job.c.seq)
    .where(
        job.c.expires_at.is_not(None),
        job.c.finished_at.is_(None),
        job.c.expires_at <= given("now"),
        job.c.status != RUNNING,
    )
    .order_by(job.c.expires_at)
    .limit(given("most"))
    .offset(literal_column("0"))
)

FIND = Statement(_EXPIRED, *names("now", "most"))

EXPIRE = Statement(
    update(job)
    .where(job.c.seq == given("seq"), job.c.status != RUNNING, job.c.finished_at.is_(None))
    .values(status=CANCELLED, finished_at=given("now"), cancel_reason=literal_column(f"'{EXPIRED}'")),
    *names("now", "seq"),
)
