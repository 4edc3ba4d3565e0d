"""Statements on the index of tags."""

from __future__ import annotations

from sqlalchemy import delete, insert

from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import tag

INSERT = Statement(insert(tag).values(tag=given("tag"), seq=given("seq")), *names("tag", "seq"))

DELETE = Statement(delete(tag).where(tag.c.seq == given("seq")), *names("seq"))
