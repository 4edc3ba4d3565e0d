"""State the contract of storage: one method for each verb, the same on every database.

The contract suite (`tests/storage/`) is this file as tests. All times are microseconds since 1970, UTC. Every method
is safe to call from any thread, and raises a `DatabaseError` when the database cannot be used.
"""

from __future__ import annotations

from typing import AbstractSet, Callable, List, Mapping, NamedTuple, Optional, Protocol, Sequence, Tuple

from sqlite_job.core.jobs import ClaimedJob, JobFailure, JobInfo, NewJob, RescuedJob, StoredArguments, StoredResult
from sqlite_job.core.limits import QueueLimit
from sqlite_job.core.notes import JobNotes
from sqlite_job.core.options import MetaValue
from sqlite_job.core.outcomes import Outcome
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.note_storage import NoteStorage
from sqlite_job.storage.queue_storage import QueueStorage
from sqlite_job.storage.retention_storage import RetentionStorage
from sqlite_job.storage.schedule_storage import ScheduleStorage
from sqlite_job.storage.shared_transactions import SharedTransactions


class Wanted(NamedTuple):
    """What a worker may claim: queues in strict order, functions it has, and how many jobs.

    `takes_suspect`: also one job whose last worker died while it held it. `limited`: the functions that have a limit.
    With `weights` of the queues each claim shares the room among them, in no strict order. Functions in `batched` are
    claimed apart, as many jobs as `batches` says for each. Of a queue in `queue_limits` no more is claimed than they
    allow.
    """

    queues: Tuple[str, ...]
    functions: Tuple[str, ...]
    room: int
    takes_suspect: bool = False
    limited: Tuple[str, ...] = ()
    weights: Optional[Mapping[str, int]] = None
    batched: Tuple[str, ...] = ()
    batches: Tuple[Tuple[str, int], ...] = ()
    queue_limits: Tuple[QueueLimit, ...] = ()

    @property
    def claimable(self) -> Tuple[str, ...]:
        """The functions of which there is room for a job."""
        if not self.batched:
            return self.functions
        return (*(self.functions if self.room > 0 else ()), *(name for name, _ in self.batches))

    @property
    def known(self) -> Tuple[str, ...]:
        """All functions of the worker."""
        return self.functions + self.batched

    def without(self, queues: AbstractSet[str]) -> Wanted:
        """Return the same of all other queues."""
        weights = self.weights and {queue: weight for queue, weight in self.weights.items() if queue not in queues}
        return self._replace(queues=tuple(queue for queue in self.queues if queue not in queues), weights=weights)


class Exchange(NamedTuple):
    """What one turn brought: the claimed jobs in the order to run them, and the outcomes that changed nothing.

    `suspect` is a claimed job, too: one to be run alone. And so are those in `unlimited`: their functions have a limit
    that they do not know of; the suspect may be one of them. `is_expelled`: the worker is not registered any more, so
    that nothing was claimed. `paused`: the wanted queues from which nobody claims now.
    """

    claimed: List[ClaimedJob]
    stale: List[Outcome]
    is_expelled: bool = False
    suspect: Optional[ClaimedJob] = None
    unlimited: Sequence[ClaimedJob] = ()
    paused: Tuple[str, ...] = ()


class Peek(NamedTuple):
    """What an idle worker sees without a lock; `next_run_at`: when nothing is ready, the earliest scheduled time.

    `next_slot_at`: then, too, when the first schedule of its functions is due.
    """

    is_ready: bool
    next_run_at: Optional[int]
    next_slot_at: Optional[int] = None


class JobFilter(NamedTuple):
    """Which jobs to list, newest first: every field that is not None must match; `after` continues below a cursor."""

    status: Optional[JobStatus] = None
    queue: Optional[str] = None
    function: Optional[str] = None
    tag: Optional[str] = None
    limit: int = 100
    after: Optional[int] = None
    meta: Tuple[Tuple[str, MetaValue], ...] = ()


class QueueCount(NamedTuple):
    """How many jobs of one queue have one status."""

    queue: str
    status: JobStatus
    jobs: int


class CancelRequest(NamedTuple):
    """A wish to cancel a running job."""

    seq: int
    reason: Optional[str]


class WorkerRow(NamedTuple):
    """A registered worker."""

    id: int
    host: str
    pid: int
    queues: str
    started_at: int
    heartbeat_at: int
    lease_until: int


class CommitWatcher(Protocol):
    """Wakes its one owner when a commit, by whoever, may have changed something, or when interrupted.

    Make it before the first read: what is committed between that read and `wait` ends the wait at once.
    """

    def wait(self, timeout_seconds: float, *, ignore_commits: bool = False) -> bool:
        """Block until a commit (True), `interrupt` or the timeout (both False).

        A commit may end two waits, unless whoever was woken by it calls `forget` before the next one.
        """
        ...

    def forget(self) -> None:
        """Let what has been committed so far end no wait: whoever calls this is about to read it."""
        ...

    def interrupt(self) -> None:
        """End the present wait, or the next one; safe from any thread and from a signal handler."""
        ...

    def close(self) -> None:
        """Give back what it holds; a later `interrupt` does nothing."""
        ...


class Storage(ScheduleStorage, QueueStorage, RetentionStorage, NoteStorage, SharedTransactions, Protocol):
    """One database of jobs."""

    @property
    def location(self) -> str:
        """The path or URL, fit to be shown."""
        ...

    @property
    def works_in_process(self) -> bool:
        """Whether what it does needs this process's CPU, and not that of a server."""
        ...

    @property
    def commit_seconds(self) -> float:
        """How long the last commit took, most of it for the disk; 0 where that is not measured."""
        ...

    @property
    def clock_offset(self) -> int:
        """How many microseconds the clock that all times go by is ahead of this machine's; 0 for a file."""
        ...

    def enqueue(self, jobs: Sequence[NewJob]) -> Mapping[str, str]:
        """Store all of the jobs in one transaction, or none; returns after the commit.

        A job with an id of the caller's own that exists already is left as it is. One whose unique key another job has
        is not stored: returned is the id of that one for each of them. Raises DuplicateJobError where that was wanted.
        """
        ...

    def expire(self, now: int) -> int:
        """Cancel jobs that have expired and do not run, with reason "expired", some at a time; returns how many."""
        ...

    def exchange(
        self,
        worker_id: int,
        outcomes: Sequence[Outcome],
        wanted: Optional[Wanted],
        now: int,
        notes: Sequence[JobNotes] = (),
    ) -> Exchange:
        """Write the last notes of the jobs that end, settle the outcomes, promote what is due, and claim new jobs.

        All in one transaction. Claimed jobs are running, with tries and claim_number one higher, and held by
        `worker_id`. An outcome whose fence (seq, claim_number) no longer holds changes nothing and comes back in
        `stale`. Without outcomes and notes it may return before the disk has what it did: see `sync`.
        """
        ...

    def sync(self) -> None:
        """Wait until the disk has all that was committed; does nothing where each commit waits, or none."""
        ...

    def peek(self, wanted: Wanted, now: int) -> Peek:
        """Look, without any lock, whether an exchange would find jobs."""
        ...

    def unknown_functions(self, wanted: Wanted) -> List[str]:
        """Return the functions pending in these queues that are not among `wanted.functions`."""
        ...

    def get(self, job_id: str) -> Optional[JobInfo]:
        """Return what is known of a job, or None."""
        ...

    def result(self, job_id: str) -> Optional[StoredResult]:
        """Return a job's status and encoded result, or None for an unknown job."""
        ...

    def arguments(self, job_id: str) -> Optional[StoredArguments]:
        """Return a job's encoded arguments, or None for an unknown job, and for one whose payload is gone."""
        ...

    def failures(self, job_id: str) -> List[JobFailure]:
        """Return the tries that did not succeed, oldest first."""
        ...

    def find(self, wanted: JobFilter) -> List[JobInfo]:
        """Return matching jobs, newest first."""
        ...

    def counts(self) -> List[QueueCount]:
        """Return how many jobs there are for each queue and status."""
        ...

    def delete(self, job_id: str) -> JobStatus:
        """Delete a job that does not run, with all that belongs to it; returns the status it had.

        Raises JobNotFoundError, or JobStateError for a running job.
        """
        ...

    def cancel(self, job_id: str, reason: Optional[str], now: int) -> JobStatus:
        """Cancel a waiting job, or note the wish for a running one; returns the status it had.

        A running job that ends without having completed is then cancelled, whatever else its outcome says. A finished
        job is left as it is. Raises JobNotFoundError.
        """
        ...

    def forget_unused(self, now: int) -> int:
        """Delete what is kept of rates and unique keys that mean nothing any more, some at a time; returns how many."""
        ...

    def cancel_requests(self, worker_id: int) -> List[CancelRequest]:
        """Return the wishes to cancel jobs that this worker holds."""
        ...

    def requeue(self, job_id: str, now: int) -> JobStatus:
        """Make a finished job pending again, with its tries and deaths back at 0; returns the status it had.

        Raises JobNotFoundError, or JobStateError for a job that has not finished.
        """
        ...

    def register_worker(self, queues: Sequence[str], now: int, lease: int) -> int:
        """Record a worker of this process and return its id, never used before.

        It is believed alive while this process lives and its lease (microseconds from now) has not run out.
        """
        ...

    def heartbeat(self, worker_id: int, now: int, lease: int) -> bool:
        """Renew the lease; False when the worker was believed dead, and its jobs were given to others."""
        ...

    def unregister_worker(self, worker_id: int) -> None:
        """Forget a worker; what it still holds can be rescued at once."""
        ...

    def abandon_worker(self, worker_id: int) -> None:
        """Show that a worker of this process has ended, without a word to the database; its row is left to a rescue."""
        ...

    def rescue(self, now: int, max_deaths: int, *, by_lease: bool = True) -> List[RescuedJob]:
        """Take the jobs of all dead workers from them, and forget these workers.

        Dead is whose process has ended, or, `by_lease`, whose lease has run out. Each job is pending again with one
        death more, or failed when that makes `max_deaths`; the death is kept among its failures. Nothing is written
        when all live.
        """
        ...

    def workers(self) -> List[WorkerRow]:
        """Return the registered workers, oldest first."""
        ...

    def watch(self) -> CommitWatcher:
        """Return a new watcher of this database."""
        ...

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after commits, from a thread of its own, until the returned function is called.

        Subscribe before the first read: what is committed after it is not missed. One commit may call more than once.
        """
        ...

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""
        ...
