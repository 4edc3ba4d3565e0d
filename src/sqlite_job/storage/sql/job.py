"""Statements on the hot row of a job: every transition, each with its from-state in the WHERE."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, case, column, delete, func, literal_column, or_, select, table, tuple_, update

from sqlite_job.core.states import FINAL, WAITING, JobStatus
from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Statement, among, given, names, one_of
from sqlite_job.storage.tables import job, status_literal, suspect, unique

PENDING = status_literal(JobStatus.PENDING)
SCHEDULED = status_literal(JobStatus.SCHEDULED)
BLOCKED = status_literal(JobStatus.BLOCKED)
RUNNING = status_literal(JobStatus.RUNNING)
_FAILED = status_literal(JobStatus.FAILED)
CANCELLED = status_literal(JobStatus.CANCELLED)
NULL: Any = literal_column("NULL")

# The fence: a write about a running job holds only while this claim of it does.
FENCE = and_(job.c.seq == given("seq"), job.c.status == RUNNING, job.c.claim_number == given("claim_number"))

# Locked: nobody takes the job from its worker before this transaction ends.
IS_RUNNING = Statement(select(job.c.seq).where(FENCE).with_for_update(read=True), *names("seq", "claim_number"))

# In the order of NewJob. The seqs are known beforehand (LAST_SEQ), so that payloads need no look-up.
_NEW = ("seq", "id", "queue", "function", "priority", "created_at", "run_at", "max_tries", "timeout")

ENQUEUE = Insert(job, *_NEW, status=PENDING)

# One alone, under the next seq, which the database counts.
ENQUEUE_NEXT = Insert(job, *_NEW[1:], status=PENDING)

ENQUEUE_SCHEDULED = Insert(job, *_NEW, status=SCHEDULED)

# In the order of NewJob.conditional_row, which is the table's.
_CONDITIONAL = (
    *_NEW[:7],
    "expires_at",
    *_NEW[7:],
    "unique_key",
    "group_key",
    "group_limit",
    "rate_key",
)

ENQUEUE_CONDITIONAL = {
    JobStatus.PENDING: Insert(job, *_CONDITIONAL, status=PENDING),
    JobStatus.SCHEDULED: Insert(job, *_CONDITIONAL, status=SCHEDULED),
    JobStatus.BLOCKED: Insert(job, *_CONDITIONAL, status=BLOCKED),
}

# AUTOINCREMENT's own record; inside a write transaction nobody else moves it.
_SEQUENCE = table("sqlite_sequence", column("name"), column("seq"))
LAST_SEQ = Statement(select(_SEQUENCE.c.seq).where(_SEQUENCE.c.name == literal_column(f"'{job.name}'")))

# Changes nothing, but makes a transaction that has read nothing yet the one that writes.
TAKE_WRITE_LOCK = Statement(delete(job).where(literal_column("0")))

EXISTING_IDS = Statement(select(job.c.id).where(one_of(job.c.id, given("ids"))), *names("ids"))

# The status, hidden from PostgreSQL's planner, who else takes a partial index that fits it where the primary key does
# better: among jobs that are given by their seqs.
ANY_STATUS = func.coalesce(job.c.status, literal_column("''"))

_FOR_US = and_(
    one_of(job.c.function, given("functions")),
    or_(job.c.expires_at.is_(None), job.c.expires_at > given("now")),
)

# Index: claimable.
WAITING_FOR_US = and_(job.c.queue == given("queue"), job.c.status == PENDING, _FOR_US)
# Where a job goes that may start as far as its time is concerned: its limits, if it has some, decide on the rest.
READY = case((and_(job.c.group_key.is_(None), job.c.rate_key.is_(None)), PENDING), else_=BLOCKED)
SUSPECTS = select(suspect.c.seq)

_CLAIMABLE = (
    select(job.c.seq)
    .where(WAITING_FOR_US, job.c.seq.not_in(SUSPECTS))
    .order_by(job.c.priority.desc(), job.c.seq)
    .limit(given("room"))
    .offset(literal_column("0"))
)

# The primary keys of suspect and job: the few suspects are looked up one by one. Not all that waits in the suspects, of
# whose number PostgreSQL knows nothing as long as there were none.
_CLAIMABLE_SUSPECT = (
    select(job.c.seq)
    .where(among(job.c.seq, SUSPECTS, locks=False), job.c.queue == given("queue"), ANY_STATUS == PENDING, _FOR_US)
    .order_by(job.c.priority.desc(), job.c.seq)
    .limit(literal_column("1"))
    .offset(literal_column("0"))
)


def _claim(claimable: Any) -> Any:
    return (
        update(job)
        .where(among(job.c.seq, claimable))
        .values(
            status=RUNNING,
            started_at=given("now"),
            worker_id=given("worker_id"),
            tries=job.c.tries + literal_column("1"),
            claim_number=job.c.claim_number + literal_column("1"),
        )
        # RETURNING comes in no order: the first two columns are the sort key.
        .returning(
            (-job.c.priority).label("rank"),
            job.c.seq,
            job.c.claim_number,
            job.c.tries,
            job.c.id,
            job.c.queue,
            job.c.function,
            job.c.max_tries,
            job.c.timeout,
            job.c.deaths,
            job.c.expires_at,
        )
    )


CLAIM = Statement(_claim(_CLAIMABLE), *names("now", "worker_id", "queue", "functions", "room"))

CLAIM_SUSPECT = Statement(_claim(_CLAIMABLE_SUSPECT), *names("now", "worker_id", "queue", "functions"))

# In the order of the index: without one PostgreSQL may read the table, where all that has finished may lie before it.
IS_CLAIMABLE = Statement(
    select(job.c.seq)
    .where(WAITING_FOR_US, job.c.seq.not_in(SUSPECTS))
    .order_by(job.c.priority.desc(), job.c.seq)
    .limit(literal_column("1"))
    .offset(literal_column("0")),
    *names("queue", "functions", "now"),
)

IS_SUSPECT_CLAIMABLE = Statement(_CLAIMABLE_SUSPECT, *names("queue", "functions", "now"))

# Index: claimable. Scans what waits for others, so only an idle worker asks, and seldom.
UNKNOWN_FUNCTIONS = Statement(
    select(job.c.function)
    .distinct()
    .where(one_of(job.c.queue, given("queues")), job.c.status == PENDING, ~one_of(job.c.function, given("functions")))
    .order_by(job.c.function),
    *names("queues", "functions"),
)


def due(limit: int) -> Any:
    """Return a select of the scheduled jobs whose time has come, the oldest first; index: due."""
    return (
        select(job.c.seq)
        .where(job.c.status == SCHEDULED, job.c.run_at <= given("now"))
        .order_by(job.c.run_at)
        .limit(literal_column(str(limit)))
        .offset(literal_column("0"))
    )


# Index: due. So many at a time that a claim does not wait long for it.
PROMOTE = Statement(
    update(job)
    .where(among(job.c.seq, due(1000)))
    .values(status=READY)
    .returning(job.c.seq, job.c.group_key, job.c.rate_key),
    *names("now"),
)

# Index: due.
NEXT_RUN_AT = Statement(select(func.min(job.c.run_at)).where(job.c.status == SCHEDULED))

FAIL = Statement(
    update(job)
    .where(FENCE)
    .values(started_at=given("started_at"), finished_at=given("finished_at"), status=_FAILED, worker_id=NULL),
    *names("started_at", "finished_at", "seq", "claim_number"),
)

RETRY = Statement(
    update(job)
    .where(FENCE)
    .values(started_at=given("started_at"), run_at=given("run_at"), status=SCHEDULED, worker_id=NULL),
    *names("started_at", "run_at", "seq", "claim_number"),
)

# The try is given back: the job asked to wait, it did not fail.
SNOOZE = Statement(
    update(job)
    .where(FENCE)
    .values(
        started_at=given("started_at"),
        run_at=given("run_at"),
        status=SCHEDULED,
        worker_id=NULL,
        tries=job.c.tries - literal_column("1"),
    ),
    *names("started_at", "run_at", "seq", "claim_number"),
)

CANCEL_RUNNING = Statement(
    update(job)
    .where(FENCE)
    .values(
        started_at=given("started_at"),
        finished_at=given("finished_at"),
        cancel_reason=given("reason"),
        status=CANCELLED,
        worker_id=NULL,
    ),
    *names("started_at", "finished_at", "reason", "seq", "claim_number"),
)

CANCEL_WAITING = Statement(
    update(job)
    .where(
        job.c.seq == given("seq"),
        job.c.status.in_([status_literal(status) for status in JobStatus if status in WAITING]),
    )
    .values(status=CANCELLED, finished_at=given("now"), cancel_reason=given("reason")),
    *names("now", "reason", "seq"),
)

REQUEST_CANCEL = Statement(
    update(job)
    .where(job.c.seq == given("seq"), job.c.status == RUNNING)
    .values(cancel_requested_at=given("now"), cancel_reason=given("reason")),
    *names("now", "reason", "seq"),
)

# After a running job became a waiting one again, whose cancellation had been asked for.
CANCEL_IF_REQUESTED = Statement(
    update(job)
    .where(
        job.c.seq == given("seq"),
        job.c.status.in_([status_literal(status) for status in JobStatus if status in WAITING]),
        job.c.cancel_requested_at.is_not(None),
    )
    .values(status=CANCELLED, finished_at=given("now")),
    *names("now", "seq"),
)

# Index: held.
CANCEL_REQUESTS = Statement(
    select(job.c.seq, job.c.cancel_reason).where(
        job.c.status == RUNNING,
        job.c.worker_id == given("worker_id"),
        job.c.cancel_requested_at.is_not(None),
    ),
    *names("worker_id"),
)

# A job that was taken from its worker keeps its place in its group; its next start counts for its rate.
_AGAIN = case((job.c.rate_key.is_(None), PENDING), else_=BLOCKED)

# The try is given back: the job did not run, or not to its end.
RETURN = Statement(
    update(job)
    .where(FENCE)
    .values(status=_AGAIN, started_at=NULL, worker_id=NULL, tries=job.c.tries - literal_column("1")),
    *names("seq", "claim_number"),
)

# A death counts as a death, not as a try: an exception is final by max_tries, a power cut is not.
RESCUE = Statement(
    update(job)
    .where(FENCE)
    .values(
        status=_AGAIN,
        started_at=NULL,
        worker_id=NULL,
        tries=job.c.tries - literal_column("1"),
        deaths=job.c.deaths + literal_column("1"),
    ),
    *names("seq", "claim_number"),
)

FAIL_DEAD = Statement(
    update(job)
    .where(FENCE)
    .values(
        status=_FAILED,
        finished_at=given("now"),
        worker_id=NULL,
        deaths=job.c.deaths + literal_column("1"),
    ),
    *names("now", "seq", "claim_number"),
)

# Index: held.
HOLDERS = Statement(select(job.c.worker_id).distinct().where(job.c.status == RUNNING))

# Index: held.
HELD = Statement(
    select(job.c.seq, job.c.claim_number, job.c.tries, job.c.deaths, job.c.started_at, job.c.id, job.c.function)
    .where(job.c.status == RUNNING, job.c.worker_id == given("worker_id"))
    .order_by(job.c.seq),
    *names("worker_id"),
)

REQUEUE = Statement(
    update(job)
    .where(
        job.c.seq == given("seq"), job.c.status.in_([status_literal(status) for status in JobStatus if status in FINAL])
    )
    .values(
        status=READY,
        run_at=NULL,
        expires_at=NULL,
        started_at=NULL,
        finished_at=NULL,
        cancel_requested_at=NULL,
        cancel_reason=NULL,
        tries=literal_column("0"),
        deaths=literal_column("0"),
    ),
    *names("seq"),
)

DELETE = Statement(delete(job).where(job.c.seq == given("seq"), job.c.status != RUNNING), *names("seq"))

# The primary key.
DELETE_MANY = Statement(delete(job).where(one_of(job.c.seq, given("seqs")), ANY_STATUS != RUNNING), *names("seqs"))

# Index: finished.
FINISHED = Statement(
    select(job.c.finished_at, job.c.seq, job.c.queue, job.c.function, job.c.status)
    .where(
        tuple_(job.c.finished_at, job.c.seq) > tuple_(given("after"), given("seq")), job.c.finished_at <= given("until")
    )
    .order_by(job.c.finished_at, job.c.seq)
    .limit(given("count"))
    .offset(literal_column("0")),
    *names("after", "seq", "until", "count"),
)

# The primary key. `until`: how long a unique key is kept by a job that has ended.
ENDS = Statement(
    select(job.c.seq, job.c.finished_at, job.c.unique_key, unique.c.until)
    .select_from(job.outerjoin(unique, and_(unique.c.key == job.c.unique_key, unique.c.seq == job.c.seq)))
    .where(one_of(job.c.seq, given("seqs")))
    .with_for_update(of=job, skip_locked=True),
    *names("seqs"),
)

# Before a job is changed: what it is stays so until this transaction ends.
LOCATE = Statement(select(job.c.seq, job.c.status).where(job.c.id == given("id")).with_for_update(), *names("id"))
LOCK = Statement(select(job.c.seq).where(job.c.seq == given("seq")).with_for_update(), *names("seq"))

# What a change of the job must be serialized with.
KEYS = Statement(
    select(job.c.unique_key, job.c.group_key, job.c.rate_key).where(job.c.id == given("id")),
    *names("id"),
)

STATUS = Statement(select(job.c.seq, job.c.status).where(job.c.id == given("id")), *names("id"))
