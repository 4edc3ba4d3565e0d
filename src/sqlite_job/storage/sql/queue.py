"""Statements on what is known of queues besides their jobs."""

from __future__ import annotations

from sqlalchemy import delete, func, select, update

from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.sql.job import RUNNING
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import job, queue

# All of the table: it has a row only for queues that were paused.
PAUSED = Statement(select(queue.c.name, queue.c.paused_at).where(queue.c.paused_at.is_not(None)).order_by(queue.c.name))

IS_KNOWN = Statement(select(queue.c.name).where(queue.c.name == given("name")), *names("name"))

ADD_PAUSED = Insert(queue, "name", "paused_at")

PAUSE = Statement(
    update(queue).where(queue.c.name == given("name"), queue.c.paused_at.is_(None)).values(paused_at=given("now")),
    *names("now", "name"),
)

# The row says nothing else.
RESUME = Statement(delete(queue).where(queue.c.name == given("name"), queue.c.paused_at.is_not(None)), *names("name"))

# Index: held, all of it: what runs at one time.
COUNT_RUNNING = Statement(
    select(func.count()).select_from(job).where(job.c.status == RUNNING, job.c.queue == given("queue")),
    *names("queue"),
)
