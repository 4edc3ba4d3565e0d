"""Statements on groups: of the jobs with one group key only so many are pending or running at once.

Who counts is read from the jobs' own rows, so nothing stays locked after a crash. In a group of one the order is kept:
a job that was started and waits for its next try goes before those enqueued after it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, exists, func, literal_column, or_, select, union_all, update

from sqlite_job.storage.sql.job import BLOCKED, FENCE, NULL, PENDING, RUNNING, SCHEDULED
from sqlite_job.storage.statement import Statement, given, names, one_of
from sqlite_job.storage.tables import job

_other = job.alias("other")
_head = job.alias("head")


# Index: grouped, by key and status: of a group it does not touch the blocked ones, which may be many.
def _count(status: Any, *more: Any) -> Any:
    return (
        select(func.count())
        .select_from(_other)
        .where(_other.c.group_key == job.c.group_key, _other.c.finished_at.is_(None), _other.c.status == status, *more)
        .correlate(job)
        .scalar_subquery()
    )


_started_before = (
    _other.c.seq < job.c.seq,
    _other.c.claim_number > literal_column("0"),
    _other.c.group_limit == literal_column("1"),
)

_HAS_ROOM = job.c.group_limit > _count(PENDING) + _count(RUNNING) + _count(SCHEDULED, *_started_before)

_IS_FIRST = ~exists(
    select(_head.c.seq)
    .where(
        _head.c.group_key == job.c.group_key,
        _head.c.finished_at.is_(None),
        _head.c.status == BLOCKED,
        _head.c.seq < job.c.seq,
    )
    .correlate(job)
)

# What a blocked job needs besides its turn under its rate.
MAY_START = or_(job.c.group_key.is_(None), and_(_IS_FIRST, _HAS_ROOM))

# The next of a group, if there is room for it; one with a rate is released by the worker that claims it.
RELEASE = Statement(
    update(job)
    .where(
        job.c.seq
        == select(_head.c.seq)
        .where(_head.c.group_key == given("group_key"), _head.c.finished_at.is_(None), _head.c.status == BLOCKED)
        .order_by(_head.c.seq)
        .limit(literal_column("1"))
        .offset(literal_column("0"))
        .scalar_subquery(),
        job.c.status == BLOCKED,  # still: somebody may have ended it while this waited for its row
        job.c.rate_key.is_(None),
        _HAS_ROOM,
    )
    .values(status=PENDING),
    *names("group_key"),
)

# Index: blocked, in its order: without one PostgreSQL may read the table, as where many are blocked one must come soon;
# but all that has finished may lie before it.
FIRST_BLOCKED = (
    select(job.c.seq)
    .where(job.c.status == BLOCKED)
    .order_by(job.c.created_at)
    .limit(literal_column("1"))
    .offset(literal_column("0"))
)
IS_ANY_BLOCKED = Statement(FIRST_BLOCKED)

# The groups of some jobs, once for each job.
OF_JOBS = Statement(
    select(job.c.group_key).where(one_of(job.c.seq, given("seqs")), job.c.group_key.is_not(None)), *names("seqs")
)

# Before a turn settles and promotes, where others write meanwhile: the groups of what has ended, and of what is due; a
# row also for what is due without one. The primary key, and index due.
_due = (
    select(job.c.group_key)
    .where(job.c.status == SCHEDULED, job.c.run_at <= given("now"))
    .order_by(job.c.run_at)
    .limit(literal_column("1000"))
    .subquery("due")
)
AHEAD = Statement(
    union_all(
        select(job.c.group_key, literal_column("false")).where(
            one_of(job.c.seq, given("seqs")), job.c.group_key.is_not(None)
        ),
        select(_due.c.group_key, literal_column("true")),
    ),
    *names("seqs", "now"),
)

# The rate of the next of a group.
RATE_OF_NEXT = Statement(
    select(job.c.rate_key)
    .where(job.c.group_key == given("group_key"), job.c.finished_at.is_(None), job.c.status == BLOCKED)
    .order_by(job.c.seq)
    .limit(literal_column("1"))
    .offset(literal_column("0")),
    *names("group_key"),
)

# A running job is made a group of its own: another one, unique with it, waits for its end.
JOIN = Statement(
    update(job)
    .where(job.c.seq == given("seq"), job.c.group_key.is_(None))
    .values(group_key=given("group_key"), group_limit=literal_column("1")),
    *names("group_key", "seq"),
)

WITHOUT_LIMITS = Statement(
    select(job.c.seq).where(one_of(job.c.seq, given("seqs")), job.c.group_key.is_(None), job.c.rate_key.is_(None)),
    *names("seqs"),
)

# A claimed job that was not started gets its limits; its try is given back.
LIMIT = Statement(
    update(job)
    .where(FENCE)
    .values(
        status=BLOCKED,
        started_at=NULL,
        worker_id=NULL,
        tries=job.c.tries - literal_column("1"),
        group_key=given("group_key"),
        group_limit=given("group_limit"),
        rate_key=given("rate_key"),
    ),
    *names("group_key", "group_limit", "rate_key", "seq", "claim_number"),
)
