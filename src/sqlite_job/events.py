"""Name what a worker tells its subscribers: the events, and the values that they carry (docs/reference/events.md)."""

from __future__ import annotations

from sqlite_job.core.events import (
    Event,
    FunctionUnknown,
    JobsClaimed,
    JobsRescued,
    JobsSettled,
    JobStuck,
    OutcomesStale,
    StorageFailed,
    Subscriber,
    WorkerExpelled,
    WorkerFailed,
    WorkerStarted,
    WorkerStopped,
)
from sqlite_job.core.jobs import ClaimedJob, RescuedJob
from sqlite_job.core.outcomes import (
    Cancelled,
    Completed,
    Died,
    Failed,
    FailureReport,
    Outcome,
    Retried,
    Returned,
    Snoozed,
)

__all__ = [
    "Cancelled",
    "ClaimedJob",
    "Completed",
    "Died",
    "Event",
    "Failed",
    "FailureReport",
    "FunctionUnknown",
    "JobStuck",
    "JobsClaimed",
    "JobsRescued",
    "JobsSettled",
    "Outcome",
    "OutcomesStale",
    "RescuedJob",
    "Retried",
    "Returned",
    "Snoozed",
    "StorageFailed",
    "Subscriber",
    "WorkerExpelled",
    "WorkerFailed",
    "WorkerStarted",
    "WorkerStopped",
]
