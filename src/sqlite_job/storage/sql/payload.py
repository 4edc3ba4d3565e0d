"""Statements on encoded arguments."""

from __future__ import annotations

from sqlalchemy import exists, func, select

from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Statement, given, names, one_of
from sqlite_job.storage.tables import job, payload

_COLUMNS = ("seq", "codec", "args", "preview", "tags", "meta")

INSERT = Insert(payload, *_COLUMNS)

# Of the job that was inserted last by this connection.
INSERT_LAST = Insert(payload, *_COLUMNS[1:], seq=func.last_insert_rowid())

OF_CLAIMED = Statement(
    select(payload.c.seq, payload.c.codec, payload.c.args, payload.c.tags, payload.c.meta).where(
        one_of(payload.c.seq, given("seqs"))
    ),
    *names("seqs"),
)

# By the unique index on the id, and the primary key of the payload.
OF_JOB = Statement(
    select(job.c.function, payload.c.codec, payload.c.args)
    .join_from(job, payload, job.c.seq == payload.c.seq)
    .where(job.c.id == given("id")),
    *names("id"),
)

# For an examination: whose job is gone.
COUNT_ORPHANS = Statement(
    select(func.count()).select_from(payload).where(~exists(select(job.c.seq).where(job.c.seq == payload.c.seq)))
)
