"""Statements on rates: under one key only so many jobs start in any span of time. The starts themselves are kept."""

from __future__ import annotations

from sqlalchemy import and_, delete, exists, func, literal_column, or_, select, update

from sqlite_job.storage.sql.group import MAY_START
from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.sql.job import BLOCKED, NULL, PENDING, RUNNING
from sqlite_job.storage.statement import Statement, given, names, one_of
from sqlite_job.storage.tables import job, rate, start

INSERT = Insert(rate, "key", "starts", "per", "next_at")

ALLOW = Statement(
    update(rate).where(rate.c.key == given("key")).values(starts=given("starts"), per=given("per")),
    *names("starts", "per", "key"),
)

# Somebody waits now: look at the rate again.
TOUCH = Statement(
    update(rate).where(rate.c.key == given("key"), rate.c.next_at.is_(None)).values(next_at=given("now")),
    *names("now", "key"),
)

SET_NEXT = Statement(
    update(rate).where(rate.c.key == given("key")).values(next_at=given("next_at")), *names("next_at", "key")
)

_WAITS = and_(
    job.c.status == BLOCKED,
    job.c.finished_at.is_(None),
    or_(job.c.expires_at.is_(None), job.c.expires_at > given("now")),
)
_FOR_US = and_(_WAITS, one_of(job.c.queue, given("queues")), one_of(job.c.function, given("functions")))

# Index: rate_next, then rated.
DUE = Statement(
    select(rate.c.key, rate.c.starts, rate.c.per)
    .where(
        rate.c.next_at.is_not(None),
        rate.c.next_at <= given("now"),
        exists(select(job.c.seq).where(job.c.rate_key == rate.c.key, _FOR_US).correlate(rate)),
    )
    .order_by(rate.c.next_at)
    .limit(given("most"))
    .offset(literal_column("0")),
    *names("now", "queues", "functions", "most"),
)

# Index: rate_next.
NEXT_AT = Statement(
    select(func.min(rate.c.next_at)).where(rate.c.next_at.is_not(None), rate.c.next_at > given("now")), *names("now")
)

# Index: rated.
CANDIDATES = Statement(
    select(job.c.seq, job.c.group_key)
    .where(job.c.rate_key == given("key"), _FOR_US, MAY_START)
    .order_by(job.c.seq)
    .limit(given("most"))
    .offset(literal_column("0")),
    *names("key", "queues", "functions", "now", "most"),
)

# Index: rated. Whether anybody could start, be it on another worker; one that waits for its group does not count.
IS_ANY_NEXT = Statement(
    select(job.c.seq)
    .where(job.c.rate_key == given("key"), _WAITS, MAY_START)
    .limit(literal_column("1"))
    .offset(literal_column("0")),
    *names("key", "now"),
)

# Before a finished job is run again: a rate that was forgotten since is no limit, and nobody would look at it. A worker
# whose function has one gives it to the job anew.
LEAVE_FORGOTTEN = Statement(
    update(job)
    .where(
        job.c.seq == given("seq"),
        job.c.rate_key.is_not(None),
        ~exists(select(rate.c.key).where(rate.c.key == job.c.rate_key).correlate(job)),
    )
    .values(rate_key=NULL),
    *names("seq"),
)

RELEASE = Statement(
    update(job).where(job.c.seq == given("seq"), job.c.status == BLOCKED, MAY_START).values(status=PENDING),
    *names("seq"),
)

# What was released in this transaction and not claimed in it.
BLOCK = Statement(
    update(job).where(one_of(job.c.seq, given("seqs")), job.c.status == PENDING).values(status=BLOCKED),
    *names("seqs"),
)

STARTED_OF = Statement(
    select(job.c.rate_key, job.c.seq, job.c.claim_number).where(
        one_of(job.c.seq, given("seqs")), job.c.status == RUNNING
    ),
    *names("seqs"),
)

RECORD_START = Insert(start, "rate_key", "started_at", "seq", "claim_number")

COUNT_STARTS = Statement(
    select(func.count())
    .select_from(start)
    .where(start.c.rate_key == given("key"), start.c.started_at > given("since")),
    *names("key", "since"),
)

# The start that has to become old before the next one.
NTH_LATEST_START = Statement(
    select(start.c.started_at)
    .where(start.c.rate_key == given("key"))
    .order_by(start.c.started_at.desc())
    .limit(literal_column("1"))
    .offset(given("before")),
    *names("key", "before"),
)

FORGET_STARTS = Statement(
    delete(start).where(start.c.rate_key == given("key"), start.c.started_at <= given("until")), *names("key", "until")
)

# The rates under which blocked jobs wait, of some jobs.
OF_JOBS = Statement(
    select(job.c.rate_key)
    .distinct()
    .where(one_of(job.c.seq, given("seqs")), job.c.status == BLOCKED, job.c.rate_key.is_not(None)),
    *names("seqs"),
)

# For housekeeping: rates of which no job is left to run, with no start that counts.
_IS_UNUSED = and_(
    ~exists(select(job.c.seq).where(job.c.rate_key == rate.c.key, job.c.finished_at.is_(None)).correlate(rate)),
    ~exists(
        select(start.c.seq)
        .where(start.c.rate_key == rate.c.key, start.c.started_at > given("now") - rate.c.per)
        .correlate(rate)
    ),
)

FIND_UNUSED = Statement(
    select(rate.c.key).where(_IS_UNUSED).limit(given("most")).offset(literal_column("0")), *names("now", "most")
)

# Looked at once more: a job may have come meanwhile.
FORGET = Statement(delete(rate).where(rate.c.key == given("key"), _IS_UNUSED), *names("key", "now"))
