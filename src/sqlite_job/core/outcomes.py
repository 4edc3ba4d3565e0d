"""Say how a run of a job ended, as a value: what the executors hand back and storage settles.

Times are in microseconds; `seq` and `claim_number` are the fence.
"""

from __future__ import annotations

from typing import NamedTuple, Optional, Union

from sqlite_job.core.jobs import Conditions


class Completed(NamedTuple):
    """The function returned; its result is already encoded. The first four fields are COMPLETE's parameters."""

    started_at: int
    finished_at: int
    seq: int
    claim_number: int
    codec: str
    value: bytes
    preview: Optional[str]


class Committed(NamedTuple):
    """The function returned, and its completion is on record already: it was committed in the job's own transaction."""

    started_at: int
    finished_at: int
    seq: int
    claim_number: int


class FailureReport(NamedTuple):
    """What is kept of a try that did not succeed: bounded texts, never an exception object."""

    try_number: int
    error_type: str
    message: str
    traceback: str


class Failed(NamedTuple):
    """The last try failed: the job ends."""

    started_at: int
    finished_at: int
    seq: int
    claim_number: int
    failure: FailureReport


class Retried(NamedTuple):
    """A try failed, and the next one starts at `run_at`."""

    started_at: int
    finished_at: int
    seq: int
    claim_number: int
    failure: FailureReport
    run_at: int


class Snoozed(NamedTuple):
    """The job asked to run again at `run_at`; the try is given back."""

    started_at: int
    finished_at: int
    seq: int
    claim_number: int
    run_at: int


class Cancelled(NamedTuple):
    """The job ended itself without a failure, or was cancelled while it ran."""

    started_at: int
    finished_at: int
    seq: int
    claim_number: int
    reason: str


class Died(NamedTuple):
    """The process that ran the job died of it, or was killed; unless `is_final`, the job runs again."""

    started_at: int
    finished_at: int
    seq: int
    claim_number: int
    failure: FailureReport
    is_final: bool


class Returned(NamedTuple):
    """The job was claimed and not run, or interrupted by a clean stop: pending again, its try given back."""

    seq: int
    claim_number: int


class Limited(NamedTuple):
    """The job has limits that whoever enqueued it did not know of: it was not started, and waits for its turn."""

    seq: int
    claim_number: int
    conditions: Conditions


Outcome = Union[Completed, Committed, Failed, Retried, Snoozed, Cancelled, Died, Returned, Limited]

# Of jobs that were claimed, and then not run to any end.
NOT_RUN = frozenset({Returned, Limited})
