"""Statements on the index of tags."""

from __future__ import annotations

from sqlalchemy import delete

from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import tag

INSERT = Insert(tag, "tag", "seq")

DELETE = Statement(delete(tag).where(tag.c.seq == given("seq")), *names("seq"))
