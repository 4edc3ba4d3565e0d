"""Statements on encoded results."""

from __future__ import annotations

from sqlalchemy import delete

from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import result

_COLUMNS = ("seq", "codec", "value", "preview")

INSERT = Insert(result, *_COLUMNS)

DELETE = Statement(delete(result).where(result.c.seq == given("seq")), *names("seq"))
