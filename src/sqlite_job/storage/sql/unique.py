"""Statements on unique keys: the primary key of the table is the rule, and the job's own row says whether it holds."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, delete, exists, literal_column, or_, select, update

from sqlite_job.core.states import WAITING, JobStatus
from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.sql.job import BLOCKED, READY, SCHEDULED
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import job, payload, status_literal, unique

TAKE = Insert(unique, "key", "seq", "until")

# Who has the key, and until when it is kept; no id: the job was deleted.
HOLDER = Statement(
    select(unique.c.seq, unique.c.until, job.c.id, job.c.status, job.c.group_key)
    .select_from(unique.outerjoin(job, and_(job.c.seq == unique.c.seq, job.c.unique_key == unique.c.key)))
    .where(unique.c.key == given("key")),
    *names("key"),
)

# Index: grouped. Who had the key before one that followed it, and has not ended yet.
PRECURSOR = Statement(
    select(job.c.seq, literal_column("NULL"), job.c.id, job.c.status, job.c.group_key)
    .where(job.c.group_key == given("group_key"), job.c.finished_at.is_(None), job.c.unique_key == given("key"))
    .order_by(job.c.seq.desc())
    .limit(literal_column("1"))
    .offset(literal_column("0")),
    *names("group_key", "key"),
)

FREE = Statement(delete(unique).where(unique.c.key == given("key")), *names("key"))

# Before a job is deleted; a window outlives it.
FREE_OF_JOB = Statement(
    delete(unique).where(
        unique.c.key == select(job.c.unique_key).where(job.c.seq == given("seq")).scalar_subquery(),
        unique.c.seq == given("seq"),
        unique.c.until.is_(None),
    ),
    *names("seq"),
)

KEY_OF_JOB = Statement(
    select(job.c.unique_key).where(job.c.seq == given("seq"), job.c.unique_key.is_not(None)), *names("seq")
)

_IS_WAITING = or_(*[job.c.status == status_literal(status) for status in JobStatus if status in WAITING])

_ORDER = names("run_at", "expires_at", "group_key", "group_limit", "rate_key", "seq")


def _replace(status: Any) -> Statement:
    return Statement(
        update(job)
        .where(job.c.seq == given("seq"), _IS_WAITING)
        .values(
            status=status,
            run_at=given("run_at"),
            expires_at=given("expires_at"),
            group_key=given("group_key"),
            group_limit=given("group_limit"),
            rate_key=given("rate_key"),
        ),
        *_ORDER,
    )


# A waiting job gets the time and the limits of a newer one: to run later, or now.
REPLACE_FOR_LATER = _replace(SCHEDULED)
REPLACE_FOR_NOW = _replace(BLOCKED)

# After REPLACE_FOR_NOW, as only now its row says whether it has limits.
MAKE_READY = Statement(
    update(job).where(job.c.seq == given("seq"), job.c.status == BLOCKED).values(status=READY), *names("seq")
)

REPLACE_PAYLOAD = Statement(
    update(payload)
    .where(payload.c.seq == given("seq"))
    .values({"codec": given("codec"), "args": given("args"), "preview": given("preview")}),
    *names("codec", "args", "preview", "seq"),
)

# For housekeeping: keys whose window has passed and whose job is gone.
_IS_UNUSED = and_(
    unique.c.until < given("now"),
    ~exists(select(job.c.seq).where(job.c.seq == unique.c.seq).correlate(unique)),
)

FIND_UNUSED = Statement(
    select(unique.c.key).where(_IS_UNUSED).limit(given("most")).offset(literal_column("0")), *names("now", "most")
)

FORGET = Statement(delete(unique).where(unique.c.key == given("key"), _IS_UNUSED), *names("key", "now"))
