"""Statements on registered workers."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import worker

REGISTER = Statement(
    insert(worker)
    .values(
        host=given("host"),
        pid=given("pid"),
        queues=given("queues"),
        started_at=given("now"),
        heartbeat_at=given("now"),
        lease_until=given("lease_until"),
    )
    .returning(worker.c.id),
    *names("host", "pid", "queues", "now", "lease_until"),
)

UNREGISTER = Statement(delete(worker).where(worker.c.id == given("worker_id")), *names("worker_id"))

ALL = Statement(
    select(
        worker.c.id, worker.c.host, worker.c.pid, worker.c.queues, worker.c.started_at, worker.c.heartbeat_at
    ).order_by(worker.c.id),
)
