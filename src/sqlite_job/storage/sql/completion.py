"""Statements that complete running jobs: one, some, or as many as there are."""

from __future__ import annotations

from itertools import chain

from sqlalchemy import ARRAY, cast, column, func, select, union_all, update

from sqlite_job.core.states import JobStatus
from sqlite_job.storage.sql.job import ANY_STATUS, FENCE, NULL, RUNNING
from sqlite_job.storage.statement import Statement, given, names
from sqlite_job.storage.tables import job, status_literal

_COMPLETED = status_literal(JobStatus.COMPLETED)

_ENDS = ("started_at", "finished_at", "seq", "claim_number")

COMPLETE = Statement(
    update(job)
    .where(FENCE)
    .values(started_at=given("started_at"), finished_at=given("finished_at"), status=_COMPLETED, worker_id=NULL),
    *names(*_ENDS),
)

# How many jobs COMPLETE_SOME completes.
SOME = 20


def _complete_some() -> Statement:
    rows = [[f"{name}_{row}" for name in _ENDS] for row in range(SOME)]
    selects = [select(*[given(name).label(end) for name, end in zip(row, _ENDS)]) for row in rows]
    ended = union_all(*selects).subquery("ended")
    return Statement(
        update(job)
        .where(job.c.seq == ended.c.seq, job.c.status == RUNNING, job.c.claim_number == ended.c.claim_number)
        .values(started_at=ended.c.started_at, finished_at=ended.c.finished_at, status=_COMPLETED, worker_id=NULL),
        *names(*chain(*rows)),
    )


# Their parameters follow one another. It takes two thirds of the time that executing COMPLETE for each does.
COMPLETE_SOME = _complete_some()

_ended = (
    func.unnest(*[cast(given(name), ARRAY(job.c[name].type)) for name in _ENDS])
    .table_valued(*[column(name, job.c[name].type) for name in _ENDS])
    .render_derived("ended")
)

# Each parameter is an array; for databases that have them. By the primary key: with the index of all that runs (held),
# and its many dead entries, 400 jobs took 31 ms.
COMPLETE_ALL = Statement(
    update(job)
    .where(job.c.seq == _ended.c.seq, ANY_STATUS == RUNNING, job.c.claim_number == _ended.c.claim_number)
    .values(started_at=_ended.c.started_at, finished_at=_ended.c.finished_at, status=_COMPLETED, worker_id=NULL),
    *names(*_ENDS),
)
