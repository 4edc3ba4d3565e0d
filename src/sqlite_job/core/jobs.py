"""Hold the values that travel between the rooms: a job to enqueue, a claimed job, and what is known of a job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Mapping, NamedTuple, Optional, Tuple

from sqlite_job.core.states import JobStatus

# What becomes of a job whose unique key another one has: that one is returned, is given the new arguments and time, or
# an error is raised.
ON_CONFLICT = ("existing", "replace", "raise")

# The reason of the cancellation of a job that was not started in time.
EXPIRED = "expired"


class Conditions(NamedTuple):
    """What decides besides its time whether, when and how often a job runs; times in microseconds.

    `expires_at`: it does not start then or later. `unique_key`: what it is the only unfinished one of, for `unique_for`
    after its enqueueing even if it finishes sooner; `on_conflict`, one of ON_CONFLICT, when there is one. Of a group at
    most `group_limit` jobs run at once, under a rate key at most `rate_starts` start in any `rate_per`.
    """

    expires_at: Optional[int] = None
    unique_key: Optional[str] = None
    unique_for: Optional[int] = None
    on_conflict: str = "existing"
    group_key: Optional[str] = None
    group_limit: Optional[int] = None
    rate_key: Optional[str] = None
    rate_starts: Optional[int] = None
    rate_per: Optional[int] = None

    @property
    def is_limited(self) -> bool:
        """Whether it may have to wait for other jobs before it is pending."""
        return self.group_key is not None or self.rate_key is not None

    @property
    def depends_on_others(self) -> bool:
        """Whether what becomes of it at its enqueueing depends on which other jobs there are."""
        return self.is_limited or self.unique_key is not None


class NewJob(NamedTuple):
    """A job ready to be stored; times in microseconds, `args` encoded by `codec`, `tags` and `meta` as JSON.

    The fields stand in the order of the tables' columns, so that rows are slices.
    """

    id: str
    queue: str
    function: str
    priority: int
    created_at: int
    run_at: Optional[int]
    max_tries: Optional[int]
    timeout: Optional[int]
    codec: str
    args: bytes
    preview: Optional[str]
    tags: Optional[str]
    meta: Optional[str]
    has_own_id: bool
    conditions: Optional[Conditions] = None

    @property
    def is_plain(self) -> bool:
        """Whether it may start at once, and nothing is to be looked at before it is stored."""
        return self.run_at is None and self.conditions is None and self.tags is None and not self.has_own_id

    def job_row(self, seq: int) -> Tuple[Any, ...]:
        """Return the values of the job's own row."""
        return (seq, *self[:8])

    def conditional_row(self, seq: int) -> Tuple[Any, ...]:
        """Return the values of the job's own row and of its conditions, in the order of the table."""
        conditions = self.conditions or Conditions()
        return (
            seq,
            *self[:6],
            conditions.expires_at,
            *self[6:8],
            conditions.unique_key,
            conditions.group_key,
            conditions.group_limit,
            conditions.rate_key,
        )

    def payload_row(self, seq: int) -> Tuple[Any, ...]:
        """Return the values of the payload's row."""
        return (seq, *self[8:13])


class ClaimedJob(NamedTuple):
    """A job that this worker holds; `claim_number` is the fence of every write about it."""

    seq: int
    claim_number: int
    tries: int
    id: str
    queue: str
    function: str
    max_tries: Optional[int]
    timeout: Optional[int]
    deaths: int
    expires_at: Optional[int]
    codec: str
    args: bytes
    tags: Optional[str]
    meta: Optional[str]


class RescuedJob(NamedTuple):
    """A job that was taken from a dead worker; `is_final` when it has died too often, and failed."""

    id: str
    function: str
    deaths: int
    worker_id: int
    is_final: bool


@dataclass(frozen=True)
class JobFailure:
    """One try that did not succeed."""

    try_number: int
    error_type: str
    message: str
    traceback: str
    started_at: datetime
    finished_at: datetime

    @property
    def summary(self) -> str:
        """The error on one line, as Python prints it."""
        return f"{self.error_type}: {self.message}" if self.message else self.error_type


@dataclass(frozen=True)
class JobInfo:
    """All that is known of a job, without its arguments and result as values: those stay encoded.

    `started_at` is when the latest try started; `error` is the latest failure or the reason of a cancellation;
    `arguments` and `result` are the bounded previews.
    """

    id: str
    queue: str
    function: str
    status: JobStatus
    priority: int
    tries: int
    max_tries: Optional[int]
    deaths: int
    created_at: datetime
    run_at: Optional[datetime]
    started_at: Optional[datetime]
    finished_at: Optional[datetime]
    worker_id: Optional[int]
    error: Optional[str]
    arguments: Optional[str]
    result: Optional[str]
    tags: Tuple[str, ...]
    meta: Mapping[str, Any]
    cursor: int


class StoredArguments(NamedTuple):
    """A job's function and its encoded arguments."""

    function: str
    codec: str
    args: bytes


class StoredResult(NamedTuple):
    """A job's function, its status and, once completed, its encoded result."""

    function: str
    status: JobStatus
    codec: Optional[str]
    value: Optional[bytes]
    cancel_reason: Optional[str]
