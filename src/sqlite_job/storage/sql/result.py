"""Statements on encoded results."""

from __future__ import annotations

from sqlalchemy import delete, insert

from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import result

_COLUMNS = ("seq", "codec", "value", "preview")

INSERT = Statement(insert(result).values({name: given(name) for name in _COLUMNS}), *names(*_COLUMNS))

DELETE = Statement(delete(result).where(result.c.seq == given("seq")), *names("seq"))
