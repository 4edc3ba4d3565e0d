"""Statements on the log records of jobs."""

from __future__ import annotations

from sqlalchemy import delete, exists, func, select

from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import job, log

_RECORD = ("number", "at", "try", "level", "logger", "message")

INSERT = Insert(log, "seq", *_RECORD)

# The primary key.
LAST_NUMBER = Statement(select(func.max(log.c.number)).where(log.c.seq == given("seq")), *names("seq"))

# The primary key.
OF_JOB = Statement(
    select(*(log.c[column] for column in _RECORD))
    .where(log.c.seq == given("seq"), log.c.number > given("after"))
    .order_by(log.c.number),
    *names("seq", "after"),
)

# The primary key.
DELETE_OLDEST = Statement(
    delete(log).where(log.c.seq == given("seq"), log.c.number <= given("last")), *names("seq", "last")
)

# For an examination: whose job is gone.
COUNT_ORPHANS = Statement(
    select(func.count()).select_from(log).where(~exists(select(job.c.seq).where(job.c.seq == log.c.seq)))
)

DELETE = Statement(delete(log).where(log.c.seq == given("seq")), *names("seq"))
