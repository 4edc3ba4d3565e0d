"""Statements on the jobs whose worker died while it held them."""

from __future__ import annotations

from sqlalchemy import delete, literal_column, select

from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import job, suspect

ADD = Insert(suspect, "seq")

IS_ANY = Statement(select(suspect.c.seq).limit(literal_column("1")).offset(literal_column("0")))

REMOVE = Statement(delete(suspect).where(suspect.c.seq == given("seq")), *names("seq"))

# A job that was given back unstarted: nothing is known of it that was not known before.
WAS_SUSPECT = Statement(
    select(literal_column("1")).select_from(job).where(job.c.seq == given("seq"), job.c.deaths > literal_column("0")),
    *names("seq"),
)
