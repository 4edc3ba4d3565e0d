"""Carry out the verbs on any SQL database: the contract of `interface.py` in terms of the statements in `sql/`.

A database's own module gives the transaction (`_write`, `_read`), the insertion of jobs, and arrays as parameters.
"""

from __future__ import annotations

import os
import socket
from functools import partial
from itertools import chain
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, TypeVar

from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

from sqlite_job.core.clock import SECOND, to_datetime
from sqlite_job.core.context import parse_meta, parse_tags
from sqlite_job.core.errors import JobNotFoundError, JobStateError
from sqlite_job.core.jobs import ClaimedJob, JobFailure, JobInfo, NewJob, StoredResult
from sqlite_job.core.outcomes import Cancelled, Completed, Failed, Outcome, Retried, Returned, Snoozed
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.interface import Exchange, JobFilter, Peek, QueueCount, Wanted, WorkerRow
from sqlite_job.storage.sql import failure, job, payload, result, tag, worker
from sqlite_job.storage.sql.insertion import Insert
from sqlite_job.storage.statement import Row, Statement

T = TypeVar("T")

# How long a worker is believed alive without a sign of it.
LEASE_SECONDS = 30


# More rows in one statement cost no less for each, and would be more to compile.
_ROWS_PER_INSERT = 20


class Transaction:
    """Runs statements on a driver's cursor, with parameters in the statements' declared order."""

    __slots__ = ("_cursor", "_dialect")

    def __init__(self, cursor: Any, dialect: Dialect) -> None:
        """Wrap a driver's cursor."""
        self._cursor = cursor
        self._dialect = dialect

    def run(self, statement: Statement, *values: Any) -> int:
        """Execute once, and return the number of rows changed."""
        text, arrange = statement.compiled(self._dialect)
        self._cursor.execute(text, arrange(values) if arrange else values)
        return int(self._cursor.rowcount)

    def many(self, statement: Statement, rows: Sequence[Row]) -> int:
        """Execute once for each row of parameters, and return the number of rows changed in all."""
        text, arrange = statement.compiled(self._dialect)
        self._cursor.executemany(text, map(arrange, rows) if arrange else rows)
        return int(self._cursor.rowcount)

    def insert(self, into: Insert, rows: Sequence[Row]) -> None:
        """Insert all rows."""
        whole = len(rows) - len(rows) % _ROWS_PER_INSERT
        for start in range(0, whole, _ROWS_PER_INSERT):
            self.run(into.rows(_ROWS_PER_INSERT), *chain.from_iterable(rows[start : start + _ROWS_PER_INSERT]))
        for row in rows[whole:]:
            self.run(into.rows(1), *row)

    def rows(self, statement: Statement, *values: Any) -> List[Row]:
        """Execute once, and return all rows: a cursor left open would keep its transaction open."""
        text, arrange = statement.compiled(self._dialect)
        self._cursor.execute(text, arrange(values) if arrange else values)
        found: List[Row] = self._cursor.fetchall()
        return found

    def select(self, clause: Any) -> List[Row]:
        """Compile and execute a select that was built for this one call."""
        compiled = clause.compile(dialect=self._dialect)
        assert isinstance(compiled, SQLCompiler)  # noqa: S101 - for the type checker
        self._cursor.execute(str(compiled), [compiled.params[name] for name in compiled.positiontup or ()])
        found: List[Row] = self._cursor.fetchall()
        return found


class _Stale(Exception):  # noqa: N818 - a signal to roll back, never seen outside
    """Some outcome of a batch changed nothing: which one must be found row by row."""


class SQLStorage:
    """The verbs of `Storage`, on top of a database's own transactions."""

    def exchange(self, worker_id: int, outcomes: Sequence[Outcome], wanted: Optional[Wanted], now: int) -> Exchange:
        """Settle, promote and claim in one transaction."""
        try:
            return self._write(partial(self._exchange, worker_id, outcomes, wanted, now, self._settle_all))
        except _Stale:
            return self._write(partial(self._exchange, worker_id, outcomes, wanted, now, self._settle_one_by_one))

    def peek(self, wanted: Wanted, now: int) -> Peek:
        """Read what an exchange would find."""

        def look(transaction: Transaction) -> Peek:
            next_run_at = transaction.rows(job.NEXT_RUN_AT)[0][0]
            if next_run_at is not None and next_run_at <= now:
                return Peek(is_ready=True, next_run_at=next_run_at)
            functions = self._array(wanted.functions)
            is_ready = any(transaction.rows(job.IS_CLAIMABLE, queue, functions) for queue in wanted.queues)
            return Peek(is_ready, next_run_at)

        return self._read(look)

    def unknown_functions(self, wanted: Wanted) -> List[str]:
        """Read which functions nobody here has."""
        arrays = self._array(wanted.queues), self._array(wanted.functions)
        return [row[0] for row in self._read(lambda transaction: transaction.rows(job.UNKNOWN_FUNCTIONS, *arrays))]

    def get(self, job_id: str) -> Optional[JobInfo]:
        """Read one job."""
        rows = self._read(lambda transaction: transaction.rows(job.GET, job_id))
        return _info(rows[0]) if rows else None

    def result(self, job_id: str) -> Optional[StoredResult]:
        """Read one job's status and result."""
        rows = self._read(lambda transaction: transaction.rows(job.RESULT, job_id))
        if not rows:
            return None
        status, codec, value, cancel_reason = rows[0]
        return StoredResult(JobStatus(status), codec, value, cancel_reason)

    def failures(self, job_id: str) -> List[JobFailure]:
        """Read the history of one job."""
        rows = self._read(lambda transaction: transaction.rows(failure.OF_JOB, job_id))
        return [
            JobFailure(try_number, error_type, message, traceback, to_datetime(started_at), to_datetime(finished_at))
            for try_number, error_type, message, traceback, started_at, finished_at in rows
        ]

    def find(self, wanted: JobFilter) -> List[JobInfo]:
        """Read matching jobs."""
        clause = job.find(wanted)
        return [_info(row) for row in self._read(lambda transaction: transaction.select(clause))]

    def counts(self) -> List[QueueCount]:
        """Count all jobs."""
        rows = self._read(lambda transaction: transaction.rows(job.COUNTS))
        return [QueueCount(queue, JobStatus(status), count) for queue, status, count in rows]

    def delete(self, job_id: str) -> JobStatus:
        """Delete a job and all that belongs to it."""

        def remove(transaction: Transaction) -> JobStatus:
            seq, status = _locate(transaction, job_id)
            if not transaction.run(job.DELETE, seq):
                raise JobStateError("delete", job_id, status, "wait for its end, or cancel it first")
            for statement in (payload.DELETE, result.DELETE, failure.DELETE, tag.DELETE):
                transaction.run(statement, seq)
            return status

        return self._write(remove)

    def requeue(self, job_id: str, now: int) -> JobStatus:
        """Make a finished job pending again."""
        del now  # until requeue can be delayed, nothing in the row depends on it

        def again(transaction: Transaction) -> JobStatus:
            seq, status = _locate(transaction, job_id)
            if not transaction.run(job.REQUEUE, seq):
                raise JobStateError("requeue", job_id, status, "only a finished job can be run again")
            transaction.run(result.DELETE, seq)
            return status

        return self._write(again)

    def register_worker(self, queues: Sequence[str], now: int) -> int:
        """Record a worker of this process."""
        facts = (socket.gethostname(), os.getpid(), ",".join(queues), now, now + LEASE_SECONDS * SECOND)
        return int(self._write(lambda transaction: transaction.rows(worker.REGISTER, *facts))[0][0])

    def unregister_worker(self, worker_id: int) -> None:
        """Forget a worker."""
        self._write(lambda transaction: transaction.run(worker.UNREGISTER, worker_id))

    def workers(self) -> List[WorkerRow]:
        """Read the registered workers."""
        return [WorkerRow(*row) for row in self._read(lambda transaction: transaction.rows(worker.ALL))]

    def _write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in one transaction, again when it met another writer; a rerun starts from nothing."""
        raise NotImplementedError

    def _read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work`, which only reads."""
        raise NotImplementedError

    def _insert(self, transaction: Transaction, jobs: Sequence[NewJob]) -> None:
        """Insert jobs with their payloads and tags."""
        raise NotImplementedError

    def _array(self, values: Sequence[Any]) -> Any:
        """Return values as one parameter, as `one_of` wants it on this database."""
        raise NotImplementedError

    def _enqueue(self, transaction: Transaction, jobs: Sequence[NewJob]) -> None:
        own_ids = [new.id for new in jobs if new.has_own_id]
        if own_ids:
            jobs = self._without_existing(transaction, jobs, own_ids)
        self._insert(transaction, jobs)

    def _without_existing(self, transaction: Transaction, jobs: Sequence[NewJob], own_ids: List[str]) -> List[NewJob]:
        existing = {row[0] for row in transaction.rows(job.EXISTING_IDS, self._array(own_ids))}
        fresh: Dict[str, NewJob] = {}
        for new in jobs:
            if new.id not in existing:
                fresh.setdefault(new.id, new)  # one id twice in a batch: the first one counts
        return list(fresh.values())

    def _exchange(  # noqa: PLR0917 - bound by partial, above
        self,
        worker_id: int,
        outcomes: Sequence[Outcome],
        wanted: Optional[Wanted],
        now: int,
        settle: Callable[[Transaction, int, Sequence[Outcome]], List[Outcome]],
        transaction: Transaction,
    ) -> Exchange:
        stale = settle(transaction, worker_id, outcomes) if outcomes else []
        transaction.run(job.PROMOTE, now)
        claimed = self._claim(transaction, worker_id, wanted, now) if wanted else []
        return Exchange(claimed, stale)

    def _claim(self, transaction: Transaction, worker_id: int, wanted: Wanted, now: int) -> List[ClaimedJob]:
        functions = self._array(wanted.functions)
        claimed: List[ClaimedJob] = []
        for queue in wanted.queues:
            room = wanted.room - len(claimed)
            if room <= 0:
                break
            rows = transaction.rows(job.CLAIM, now, worker_id, queue, functions, room)
            if rows:
                claimed += self._with_payloads(transaction, rows)
        return claimed

    def _with_payloads(self, transaction: Transaction, rows: List[Row]) -> List[ClaimedJob]:
        rows.sort()
        found = transaction.rows(payload.OF_CLAIMED, self._array([row[1] for row in rows]))
        payloads = {row[0]: row[1:] for row in found}
        # A payload that is gone is told apart from an undecodable one by its empty codec; the job fails, alone.
        missing: Row = ("", b"", None, None)
        return [ClaimedJob._make(chain(row[1:], payloads.get(row[1], missing))) for row in rows]

    def _settle_all(self, transaction: Transaction, worker_id: int, outcomes: Sequence[Outcome]) -> List[Outcome]:
        completed = [outcome for outcome in outcomes if type(outcome) is Completed]
        if completed:
            if transaction.many(job.COMPLETE, [outcome[:4] for outcome in completed]) != len(completed):
                raise _Stale
            transaction.insert(result.INSERT, [(outcome[2], *outcome[4:]) for outcome in completed])
        if len(completed) == len(outcomes):
            return []
        others = [outcome for outcome in outcomes if type(outcome) is not Completed]
        return self._settle_one_by_one(transaction, worker_id, others)

    def _settle_one_by_one(
        self, transaction: Transaction, worker_id: int, outcomes: Sequence[Outcome]
    ) -> List[Outcome]:
        return [outcome for outcome in outcomes if not _SETTLERS[type(outcome)](transaction, worker_id, outcome)]


def _complete(transaction: Transaction, _worker_id: int, done: Completed) -> bool:
    if not transaction.run(job.COMPLETE, *done[:4]):
        return False
    transaction.insert(result.INSERT, [(done.seq, *done[4:])])
    return True


def _fail(transaction: Transaction, worker_id: int, failed: Failed) -> bool:
    if not transaction.run(job.FAIL, *failed[:4]):
        return False
    _record_failure(transaction, worker_id, failed)
    return True


def _retry(transaction: Transaction, worker_id: int, retried: Retried) -> bool:
    if not transaction.run(job.RETRY, retried.started_at, retried.run_at, retried.seq, retried.claim_number):
        return False
    _record_failure(transaction, worker_id, retried)
    return True


def _record_failure(transaction: Transaction, worker_id: int, outcome: Any) -> None:
    times = (outcome.started_at, outcome.finished_at)
    transaction.insert(failure.INSERT, [(outcome.seq, outcome.claim_number, *outcome.failure, *times, worker_id)])


def _snooze(transaction: Transaction, _worker_id: int, snoozed: Snoozed) -> bool:
    return transaction.run(job.SNOOZE, snoozed.started_at, snoozed.run_at, snoozed.seq, snoozed.claim_number) > 0


def _cancel(transaction: Transaction, _worker_id: int, ended: Cancelled) -> bool:
    times = (ended.started_at, ended.finished_at)
    return transaction.run(job.CANCEL_RUNNING, *times, ended.reason or None, ended.seq, ended.claim_number) > 0


def _return(transaction: Transaction, _worker_id: int, returned: Returned) -> bool:
    return transaction.run(job.RETURN, *returned) > 0


_SETTLERS: Dict[type, Callable[[Transaction, int, Any], bool]] = {
    Completed: _complete,
    Failed: _fail,
    Retried: _retry,
    Snoozed: _snooze,
    Cancelled: _cancel,
    Returned: _return,
}


def _locate(transaction: Transaction, job_id: str) -> Tuple[int, JobStatus]:
    rows = transaction.rows(job.STATUS, job_id)
    if not rows:
        raise JobNotFoundError(job_id)
    return rows[0][0], JobStatus(rows[0][1])


def _info(row: Row) -> JobInfo:
    (
        (seq, job_id, queue, function, status, priority, tries, max_tries, deaths),
        times,
        (worker_id, cancel_reason, arguments, tags, meta, value, error_type, message),
    ) = (row[:9], row[9:13], row[13:])
    created_at, run_at, started_at, finished_at = (None if time is None else to_datetime(time) for time in times)
    assert created_at is not None  # noqa: S101 - NOT NULL in the schema
    error = cancel_reason
    if error_type is not None and status != JobStatus.COMPLETED.value:
        error = f"{error_type}: {message}" if message else error_type
    return JobInfo(
        id=job_id,
        queue=queue,
        function=function,
        status=JobStatus(status),
        priority=priority,
        tries=tries,
        max_tries=max_tries,
        deaths=deaths,
        created_at=created_at,
        run_at=run_at,
        started_at=started_at,
        finished_at=finished_at,
        worker_id=worker_id,
        error=error,
        arguments=arguments,
        result=value,
        tags=parse_tags(tags),
        meta=parse_meta(meta),
        cursor=seq,
    )
