"""Statements that look jobs up: one with all that is known of it, many by filters, counts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, exists, func, literal_column, select

from sqlite_job.storage.interface import JobFilter
from sqlite_job.storage.sql.job import RUNNING
from sqlite_job.storage.sql.json_member import has_member
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import failure, job, payload, result, status_literal, tag

RESULT = Statement(
    select(job.c.function, job.c.status, result.c.codec, result.c.value, job.c.cancel_reason)
    .select_from(job.outerjoin(result, result.c.seq == job.c.seq))
    .where(job.c.id == given("id")),
    *names("id"),
)

COUNTS = Statement(
    select(job.c.queue, job.c.status, func.count()).group_by(job.c.queue, job.c.status).order_by(job.c.queue)
)

# For an examination: jobs that could not be run.
COUNT_WITHOUT_PAYLOAD = Statement(
    select(func.count()).select_from(job).where(~exists(select(payload.c.seq).where(payload.c.seq == job.c.seq)))
)

# Index: held. For an examination: how many jobs each worker holds.
COUNT_HELD = Statement(select(job.c.worker_id, func.count()).where(job.c.status == RUNNING).group_by(job.c.worker_id))

_LATEST_FAILURE = (
    select(func.max(failure.c.claim_number)).where(failure.c.seq == job.c.seq).correlate(job).scalar_subquery()
)

INFO_COLUMNS = (
    job.c.seq,
    job.c.id,
    job.c.queue,
    job.c.function,
    job.c.status,
    job.c.priority,
    job.c.tries,
    job.c.max_tries,
    job.c.deaths,
    job.c.created_at,
    job.c.run_at,
    job.c.started_at,
    job.c.finished_at,
    job.c.worker_id,
    job.c.cancel_reason,
    payload.c.preview,
    payload.c.tags,
    payload.c.meta,
    result.c.preview,
    failure.c.error_type,
    failure.c.message,
)

INFO = select(*INFO_COLUMNS).select_from(
    job.outerjoin(payload, payload.c.seq == job.c.seq)
    .outerjoin(result, result.c.seq == job.c.seq)
    .outerjoin(failure, and_(failure.c.seq == job.c.seq, failure.c.claim_number == _LATEST_FAILURE))
)

GET = Statement(INFO.where(job.c.id == given("id")), *names("id"))


def find(wanted: JobFilter) -> Any:
    """Return the select of matching jobs, newest first; the primary key gives the order, so no sort is needed."""
    found = INFO.order_by(job.c.seq.desc()).limit(wanted.limit).offset(literal_column("0"))
    if wanted.status is not None:
        found = found.where(job.c.status == status_literal(wanted.status))
    if wanted.queue is not None:
        found = found.where(job.c.queue == wanted.queue)
    if wanted.function is not None:
        found = found.where(job.c.function == wanted.function)
    if wanted.tag is not None:
        found = found.where(job.c.seq.in_(select(tag.c.seq).where(tag.c.tag == wanted.tag)))
    for key, value in wanted.meta:
        found = found.where(has_member(payload.c.meta, key, value))
    if wanted.after is not None:
        found = found.where(job.c.seq < wanted.after)
    return found
