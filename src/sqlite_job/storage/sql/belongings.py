"""Delete jobs and what belongs to them: the one list of tables that know a job by its seq."""

from __future__ import annotations

from sqlalchemy import delete

from sqlite_job.storage.statement import Statement, given, names, one_of
from sqlite_job.storage.tables import failure, log, payload, progress, result, suspect, tag, unique

DELETE_ALL = tuple(
    Statement(delete(table).where(table.c.seq == given("seq")), *names("seq"))
    for table in (payload, result, failure, tag, suspect, progress, log)
)

# The same of many jobs, with the seqs as an array: on a server each statement is a message to another process.
DELETE_ALL_OF_MANY = tuple(
    Statement(delete(table).where(one_of(table.c.seq, given("seqs"))), *names("seqs"))
    for table in (payload, result, failure, tag, suspect, progress, log)
)

# By the key, which has the index; another job may have taken it since.
RELEASE_KEY = Statement(
    delete(unique).where(unique.c.key == given("key"), unique.c.seq == given("seq")), *names("key", "seq")
)
