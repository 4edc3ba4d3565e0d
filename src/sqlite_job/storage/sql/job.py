"""Statements on the hot row of a job: every transition, each with its from-state in the WHERE."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, column, delete, exists, func, literal_column, select, table, update

from sqlite_job.core.states import FINAL, WAITING, JobStatus
from sqlite_job.storage.interface import JobFilter
from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Statement, given, names, one_of
from sqlite_job.storage.tables import failure, job, payload, result, status_literal, suspect, tag

_PENDING = status_literal(JobStatus.PENDING)
_SCHEDULED = status_literal(JobStatus.SCHEDULED)
_RUNNING = status_literal(JobStatus.RUNNING)
_COMPLETED = status_literal(JobStatus.COMPLETED)
_FAILED = status_literal(JobStatus.FAILED)
_CANCELLED = status_literal(JobStatus.CANCELLED)
_NULL: Any = literal_column("NULL")

# The fence: a write about a running job holds only while this claim of it does.
_FENCE = and_(job.c.seq == given("seq"), job.c.status == _RUNNING, job.c.claim_number == given("claim_number"))

# In the order of NewJob. The seqs are known beforehand (LAST_SEQ), so that payloads need no look-up.
_NEW = ("seq", "id", "queue", "function", "priority", "created_at", "run_at", "max_tries", "timeout")

ENQUEUE = Insert(job, *_NEW, status=_PENDING)

ENQUEUE_SCHEDULED = Insert(job, *_NEW, status=_SCHEDULED)

# AUTOINCREMENT's own record; inside a write transaction nobody else moves it.
_SEQUENCE = table("sqlite_sequence", column("name"), column("seq"))
LAST_SEQ = Statement(select(_SEQUENCE.c.seq).where(_SEQUENCE.c.name == literal_column(f"'{job.name}'")))

# Changes nothing, but makes a transaction that has read nothing yet the one that writes.
TAKE_WRITE_LOCK = Statement(delete(job).where(literal_column("0")))

EXISTING_IDS = Statement(select(job.c.id).where(one_of(job.c.id, given("ids"))), *names("ids"))

# Index: claimable.
_WAITING_FOR_US = and_(
    job.c.queue == given("queue"), job.c.status == _PENDING, one_of(job.c.function, given("functions"))
)
_SUSPECTS = select(suspect.c.seq)

_CLAIMABLE = (
    select(job.c.seq)
    .where(_WAITING_FOR_US, job.c.seq.not_in(_SUSPECTS))
    .order_by(job.c.priority.desc(), job.c.seq)
    .limit(given("room"))
    .offset(literal_column("0"))
)

# The primary keys of suspect and job: the few suspects are looked up one by one.
_CLAIMABLE_SUSPECT = (
    select(job.c.seq)
    .where(job.c.seq.in_(_SUSPECTS), _WAITING_FOR_US)
    .order_by(job.c.priority.desc(), job.c.seq)
    .limit(literal_column("1"))
    .offset(literal_column("0"))
)


def _claim(claimable: Any) -> Any:
    return (
        update(job)
        .where(job.c.seq.in_(claimable.with_for_update(skip_locked=True)))
        .values(
            status=_RUNNING,
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
        )
    )


CLAIM = Statement(_claim(_CLAIMABLE), *names("now", "worker_id", "queue", "functions", "room"))

CLAIM_SUSPECT = Statement(_claim(_CLAIMABLE_SUSPECT), *names("now", "worker_id", "queue", "functions"))

IS_CLAIMABLE = Statement(
    select(job.c.seq)
    .where(_WAITING_FOR_US, job.c.seq.not_in(_SUSPECTS))
    .limit(literal_column("1"))
    .offset(literal_column("0")),
    *names("queue", "functions"),
)

IS_SUSPECT_CLAIMABLE = Statement(_CLAIMABLE_SUSPECT, *names("queue", "functions"))

# Index: claimable. Scans what waits for others, so only an idle worker asks, and seldom.
UNKNOWN_FUNCTIONS = Statement(
    select(job.c.function)
    .distinct()
    .where(one_of(job.c.queue, given("queues")), job.c.status == _PENDING, ~one_of(job.c.function, given("functions")))
    .order_by(job.c.function),
    *names("queues", "functions"),
)

# Index: due.
PROMOTE = Statement(
    update(job).where(job.c.status == _SCHEDULED, job.c.run_at <= given("now")).values(status=_PENDING),
    *names("now"),
)

# Index: due.
NEXT_RUN_AT = Statement(select(func.min(job.c.run_at)).where(job.c.status == _SCHEDULED))

COMPLETE = Statement(
    update(job)
    .where(_FENCE)
    .values(started_at=given("started_at"), finished_at=given("finished_at"), status=_COMPLETED, worker_id=_NULL),
    *names("started_at", "finished_at", "seq", "claim_number"),
)

FAIL = Statement(
    update(job)
    .where(_FENCE)
    .values(started_at=given("started_at"), finished_at=given("finished_at"), status=_FAILED, worker_id=_NULL),
    *names("started_at", "finished_at", "seq", "claim_number"),
)

RETRY = Statement(
    update(job)
    .where(_FENCE)
    .values(started_at=given("started_at"), run_at=given("run_at"), status=_SCHEDULED, worker_id=_NULL),
    *names("started_at", "run_at", "seq", "claim_number"),
)

# The try is given back: the job asked to wait, it did not fail.
SNOOZE = Statement(
    update(job)
    .where(_FENCE)
    .values(
        started_at=given("started_at"),
        run_at=given("run_at"),
        status=_SCHEDULED,
        worker_id=_NULL,
        tries=job.c.tries - literal_column("1"),
    ),
    *names("started_at", "run_at", "seq", "claim_number"),
)

CANCEL_RUNNING = Statement(
    update(job)
    .where(_FENCE)
    .values(
        started_at=given("started_at"),
        finished_at=given("finished_at"),
        cancel_reason=given("reason"),
        status=_CANCELLED,
        worker_id=_NULL,
    ),
    *names("started_at", "finished_at", "reason", "seq", "claim_number"),
)

CANCEL_WAITING = Statement(
    update(job)
    .where(
        job.c.seq == given("seq"),
        job.c.status.in_([status_literal(status) for status in JobStatus if status in WAITING]),
    )
    .values(status=_CANCELLED, finished_at=given("now"), cancel_reason=given("reason")),
    *names("now", "reason", "seq"),
)

REQUEST_CANCEL = Statement(
    update(job)
    .where(job.c.seq == given("seq"), job.c.status == _RUNNING)
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
    .values(status=_CANCELLED, finished_at=given("now")),
    *names("now", "seq"),
)

# Index: held.
CANCEL_REQUESTS = Statement(
    select(job.c.seq, job.c.cancel_reason).where(
        job.c.status == _RUNNING,
        job.c.worker_id == given("worker_id"),
        job.c.cancel_requested_at.is_not(None),
    ),
    *names("worker_id"),
)

# The try is given back: the job did not run, or not to its end.
RETURN = Statement(
    update(job)
    .where(_FENCE)
    .values(status=_PENDING, started_at=_NULL, worker_id=_NULL, tries=job.c.tries - literal_column("1")),
    *names("seq", "claim_number"),
)

# A death counts as a death, not as a try: an exception is final by max_tries, a power cut is not.
RESCUE = Statement(
    update(job)
    .where(_FENCE)
    .values(
        status=_PENDING,
        started_at=_NULL,
        worker_id=_NULL,
        tries=job.c.tries - literal_column("1"),
        deaths=job.c.deaths + literal_column("1"),
    ),
    *names("seq", "claim_number"),
)

FAIL_DEAD = Statement(
    update(job)
    .where(_FENCE)
    .values(
        status=_FAILED,
        finished_at=given("now"),
        worker_id=_NULL,
        deaths=job.c.deaths + literal_column("1"),
    ),
    *names("now", "seq", "claim_number"),
)

# Index: held.
HOLDERS = Statement(select(job.c.worker_id).distinct().where(job.c.status == _RUNNING))

# Index: held.
HELD = Statement(
    select(job.c.seq, job.c.claim_number, job.c.tries, job.c.deaths, job.c.started_at, job.c.id, job.c.function)
    .where(job.c.status == _RUNNING, job.c.worker_id == given("worker_id"))
    .order_by(job.c.seq),
    *names("worker_id"),
)

REQUEUE = Statement(
    update(job)
    .where(
        job.c.seq == given("seq"), job.c.status.in_([status_literal(status) for status in JobStatus if status in FINAL])
    )
    .values(
        status=_PENDING,
        run_at=_NULL,
        started_at=_NULL,
        finished_at=_NULL,
        cancel_requested_at=_NULL,
        cancel_reason=_NULL,
        tries=literal_column("0"),
        deaths=literal_column("0"),
    ),
    *names("seq"),
)

DELETE = Statement(delete(job).where(job.c.seq == given("seq"), job.c.status != _RUNNING), *names("seq"))

STATUS = Statement(select(job.c.seq, job.c.status).where(job.c.id == given("id")), *names("id"))

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
COUNT_HELD = Statement(select(job.c.worker_id, func.count()).where(job.c.status == _RUNNING).group_by(job.c.worker_id))

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
    if wanted.after is not None:
        found = found.where(job.c.seq < wanted.after)
    return found
