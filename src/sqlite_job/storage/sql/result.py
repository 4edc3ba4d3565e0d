"""Statements on encoded results."""

from __future__ import annotations

from sqlalchemy import delete, exists, func, select

from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import job, result

_COLUMNS = ("seq", "codec", "value", "preview")

INSERT = Insert(result, *_COLUMNS)

# For an examination: whose job is gone.
COUNT_ORPHANS = Statement(
    select(func.count()).select_from(result).where(~exists(select(job.c.seq).where(job.c.seq == result.c.seq)))
)

DELETE = Statement(delete(result).where(result.c.seq == given("seq")), *names("seq"))
