"""Statements on the index of tags."""

from __future__ import annotations

from sqlalchemy import exists, func, select

from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Statement
from sqlite_job.storage.tables import job, tag

INSERT = Insert(tag, "tag", "seq")

# For an examination: whose job is gone.
COUNT_ORPHANS = Statement(
    select(func.count()).select_from(tag).where(~exists(select(job.c.seq).where(job.c.seq == tag.c.seq)))
)
