"""Tell a job about itself: `current_job()` works in threads and coroutines, without a first parameter."""

from __future__ import annotations

import json
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Protocol, Tuple

from sqlite_job.core.errors import NoCurrentJobError, TransactionStateError
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.notes import Notes, check_progress
from sqlite_job.core.stopping import Stop
from sqlite_job.core.transactions import JobTransaction, OpenTransaction

if TYPE_CHECKING:
    import logging

_current: ContextVar[Optional[JobContext]] = ContextVar("sqlite_job_current", default=None)


class State(dict):  # type: ignore[type-arg]
    """What `on_startup` prepares for the jobs of a worker: a dict whose keys are attributes as well."""

    def __getattr__(self, name: str) -> Any:
        """Return the value under that key."""
        try:
            return self[name]
        except KeyError:
            there = ", ".join(map(str, self)) or "nothing"
            message = f"nothing named {name!r} in the worker's state; set it in on_startup (there is: {there})"
            raise AttributeError(message) from None

    def __setattr__(self, name: str, value: Any) -> None:
        """Set the value under that key."""
        self[name] = value


class RecordTaker(Protocol):
    """Keeps the log records of one try."""

    def take(self, record: logging.LogRecord) -> None:
        """Keep a record, if there is room."""
        ...


class JobContext:
    """The running job, seen from inside."""

    __slots__ = (
        "_job",
        "_max_tries",
        "_notes",
        "_open_transaction",
        "_records",
        "_stop",
        "_transaction",
        "state",
    )

    def __init__(  # noqa: PLR0917 - made for each job
        self,
        job: ClaimedJob,
        max_tries: int,
        state: State,
        notes: Optional[Notes] = None,
        records: Optional[RecordTaker] = None,
        stop: Optional[Stop] = None,
        open_transaction: Optional[Callable[[Stop], OpenTransaction]] = None,
    ) -> None:
        """Wrap a claimed job; texts are parsed only when asked for, and a transaction is opened only then.

        Without `notes` progress is checked and dropped; without `records` no log record is kept.
        """
        self._job = job
        self._max_tries = max_tries
        self._notes = notes
        self._records = records
        self.state = state
        self._stop = stop
        self._open_transaction = open_transaction
        self._transaction: Optional[JobTransaction] = None

    @property
    def id(self) -> str:
        """The job's id."""
        return self._job.id

    @property
    def queue(self) -> str:
        """The queue it came from."""
        return self._job.queue

    @property
    def function(self) -> str:
        """The name of the function."""
        return self._job.function

    @property
    def tries(self) -> int:
        """Which try this is, from 1."""
        return self._job.tries

    @property
    def max_tries(self) -> int:
        """How many tries there may be."""
        return self._max_tries

    @property
    def tags(self) -> Tuple[str, ...]:
        """The tags given at enqueue."""
        return parse_tags(self._job.tags)

    @property
    def meta(self) -> Mapping[str, Any]:
        """The metadata given at enqueue, parsed anew at each access."""
        return parse_meta(self._job.meta)

    @property
    def log(self) -> logging.LoggerAdapter:  # type: ignore[type-arg]
        """A logger whose records carry `job_id`, `job_function` and `job_queue`."""
        import logging  # only jobs that log need it

        facts = {"job_id": self.id, "job_function": self.function, "job_queue": self.queue}
        return logging.LoggerAdapter(logging.getLogger("sqlite_job.job"), facts)

    def progress(self, done: float, total: Optional[float] = None, message: Optional[str] = None) -> None:
        """Say how far the job has come: `done` of `total` (None: not known), and what it is at.

        The newest call counts, in all three. Call it as often as you like, from any thread: it takes about two
        microseconds, and a worker writes at most twice a second. Raises TypeError or ValueError for what is no number
        from 0, or no text.
        """
        checked = check_progress(done, total, message)
        if self._notes is not None:
            self._notes.put_progress(self._job, *checked)

    def transaction(self) -> JobTransaction:
        """Return a block with an SQLAlchemy Session, whose writes are committed together with the job's completion.

        Once in a try, and `async with` in a coroutine. From the block on until the function has returned it holds the
        database's write lock, so return right after it. Raises TransactionStateError.
        """
        if self._transaction is not None:
            raise TransactionStateError(f"job {self.id!r} has its transaction already: one in each try")
        if self._open_transaction is None or self._stop is None:
            raise TransactionStateError(f"the try of job {self.id!r} has ended, and with it the time for a transaction")
        self._transaction = JobTransaction(self._open_transaction, self._stop)
        return self._transaction

    def __repr__(self) -> str:
        """Show what runs, and which try."""
        return f"<JobContext {self.id} {self.function} try {self.tries}>"


def current_job() -> JobContext:
    """Return the job that runs here; raises NoCurrentJobError outside of one."""
    job = _current.get()
    if job is None:
        message = "current_job() works inside a job only; nothing here was started by a worker"
        raise NoCurrentJobError(message)
    return job


def current_record_taker() -> Optional[RecordTaker]:
    """Return what keeps the log records of the job that runs here; None outside of one, or when it keeps none."""
    job = _current.get()
    return None if job is None else job._records  # noqa: SLF001 - same module


def enter_job(context: JobContext) -> Token[Optional[JobContext]]:
    """Make `context` the current job; for the runner."""
    return _current.set(context)


def leave_job(token: Token[Optional[JobContext]]) -> None:
    """Undo `enter_job`."""
    _current.reset(token)


def transaction_of(context: JobContext) -> Optional[JobTransaction]:
    """Return the transaction that a job has asked for, if it has; for the runner."""
    return context._transaction  # noqa: SLF001 - same module


def end_try(context: JobContext) -> None:
    """Roll back what the job's transaction did not commit, and allow none from now on; for the runner.

    Nobody would end one that was opened later, by a thread that the job has left behind.
    """
    context._open_transaction = None  # noqa: SLF001 - same module
    if context._transaction is not None:  # noqa: SLF001 - same module
        context._transaction.close()  # noqa: SLF001 - same module


def parse_tags(text: Optional[str]) -> Tuple[str, ...]:
    """Return stored tags."""
    return tuple(json.loads(text)) if text else ()


def parse_meta(text: Optional[str]) -> Mapping[str, Any]:
    """Return stored metadata."""
    return json.loads(text) if text else {}
