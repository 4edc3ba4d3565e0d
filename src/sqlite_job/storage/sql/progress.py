"""Statements on how far jobs have come."""

from __future__ import annotations

from sqlalchemy import delete, exists, func, select, update

from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import job, progress

_NOTE = ("done", "total", "message", "updated_at")

INSERT = Insert(progress, "seq", *_NOTE)

UPDATE = Statement(
    update(progress).where(progress.c.seq == given("seq")).values({column: given(column) for column in _NOTE}),
    *names(*_NOTE, "seq"),
)

# One row of nulls for a job that has said nothing, none where there is no job.
OF_JOB = Statement(
    select(*(progress.c[column] for column in _NOTE))
    .select_from(job.outerjoin(progress, progress.c.seq == job.c.seq))
    .where(job.c.id == given("id")),
    *names("id"),
)

# For an examination: whose job is gone.
COUNT_ORPHANS = Statement(
    select(func.count()).select_from(progress).where(~exists(select(job.c.seq).where(job.c.seq == progress.c.seq)))
)

DELETE = Statement(delete(progress).where(progress.c.seq == given("seq")), *names("seq"))
