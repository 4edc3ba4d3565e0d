"""Statements on registered workers."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update

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
        liveness=given("liveness"),
    )
    .returning(worker.c.id),
    *names("host", "pid", "queues", "now", "lease_until", "liveness"),
)

UNREGISTER = Statement(delete(worker).where(worker.c.id == given("worker_id")), *names("worker_id"))

# Locked: nobody buries the worker while it claims.
IS_REGISTERED = Statement(
    select(worker.c.id).where(worker.c.id == given("worker_id")).with_for_update(read=True, key_share=True),
    *names("worker_id"),
)

HEARTBEAT = Statement(
    update(worker)
    .where(worker.c.id == given("worker_id"))
    .values(heartbeat_at=given("now"), lease_until=given("lease_until")),
    *names("now", "lease_until", "worker_id"),
)

LEASES = Statement(select(worker.c.id, worker.c.lease_until, worker.c.liveness))

# Only if its lease is still the one that was judged: the worker may have woken up in between.
BURY = Statement(
    delete(worker).where(worker.c.id == given("worker_id"), worker.c.lease_until == given("lease_until")),
    *names("worker_id", "lease_until"),
)

ALL = Statement(
    select(
        worker.c.id,
        worker.c.host,
        worker.c.pid,
        worker.c.queues,
        worker.c.started_at,
        worker.c.heartbeat_at,
        worker.c.lease_until,
    ).order_by(worker.c.id),
)
