"""The statement that tells a turn what it has to look after: most of the time nothing."""

from __future__ import annotations

from sqlalchemy import ColumnElement, exists, literal_column, select

from sqlite_job.storage.sql.group import FIRST_BLOCKED
from sqlite_job.storage.sql.job import due
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import queue, suspect, worker

_ONE: ColumnElement[int] = literal_column("1")

# Indexes: the primary key, due, blocked. (Not EXISTS for those two: PostgreSQL forgets the order in it, and may read
# the whole table.) Of suspects and queues most databases have no row.
GLANCE = Statement(
    select(
        exists(select(_ONE).select_from(worker).where(worker.c.id == given("worker_id"))),
        due(1).scalar_subquery().is_not(None),
        FIRST_BLOCKED.scalar_subquery().is_not(None),
        exists(select(_ONE).select_from(suspect)),
        exists(select(_ONE).select_from(queue).where(queue.c.paused_at.is_not(None))),
    ),
    *names("worker_id", "now"),
)
