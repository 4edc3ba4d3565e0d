"""Name what a worker tells its subscribers: the events, and the values that they carry (docs/reference/events.md)."""

from __future__ import annotations

from sqlite_job.core.events import (
    Event,
    FunctionUnknown,
    JobsClaimed,
    JobsExpired,
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
    Limited,
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
    "JobsExpired",
    "JobsRescued",
    "JobsSettled",
    "Limited",
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
