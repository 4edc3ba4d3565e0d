"""Enqueue Python functions, run them in workers, keep every job in one SQLite file.

This is the public API; everything else may change.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sqlite_job.connections import SQLiteJob
from sqlite_job.core.batches import BatchedJob
from sqlite_job.core.calls import call
from sqlite_job.core.context import JobContext, current_job
from sqlite_job.core.errors import (
    BackupRefusedError,
    DatabaseBusyError,
    DatabaseError,
    DatabaseFullError,
    DatabaseMovedError,
    DatabaseReplacedError,
    DatabaseTooNewError,
    DatabaseUnavailableError,
    DatabaseUnusableError,
    DecodeError,
    DuplicateJobError,
    EncodeError,
    InvalidNameError,
    InvalidOptionError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
    JobStateError,
    JobTimeoutError,
    MoveDiffersError,
    MoveRefusedError,
    NoCurrentJobError,
    NotOurDatabaseError,
    OtherDatabaseError,
    PayloadTooLargeError,
    ResultTimeoutError,
    ScheduleNotFoundError,
    ScheduleStateError,
    SettingsError,
    SignatureError,
    SQLiteJobError,
    SQLiteTooOldError,
    TransactionStateError,
    UnknownFunctionError,
)
from sqlite_job.core.jobs import JobFailure, JobInfo
from sqlite_job.core.limits import Limit, RateLimit
from sqlite_job.core.middleware import EnqueueContext, Middleware
from sqlite_job.core.notes import JobLog, JobProgress
from sqlite_job.core.redaction import hide_secrets
from sqlite_job.core.retries import Backoff, Cancel, Retry, Snooze
from sqlite_job.core.schedule_info import ScheduleInfo
from sqlite_job.core.schedules import cron, every
from sqlite_job.core.serializers import BoundSerializer, Serializer, SignedPickleSerializer
from sqlite_job.core.signing import Purpose
from sqlite_job.core.states import JobStatus
from sqlite_job.core.stopping import StopRequested
from sqlite_job.core.tasks import task
from sqlite_job.inspection import Inspector, WorkerInfo
from sqlite_job.job import Job
from sqlite_job.settings import WorkerSettings

if TYPE_CHECKING:
    from sqlite_job.worker import Worker

__version__ = "0.1.0"

__all__ = [
    "Backoff",
    "BackupRefusedError",
    "BatchedJob",
    "BoundSerializer",
    "Cancel",
    "DatabaseBusyError",
    "DatabaseError",
    "DatabaseFullError",
    "DatabaseMovedError",
    "DatabaseReplacedError",
    "DatabaseTooNewError",
    "DatabaseUnavailableError",
    "DatabaseUnusableError",
    "DecodeError",
    "DuplicateJobError",
    "EncodeError",
    "EnqueueContext",
    "Inspector",
    "InvalidNameError",
    "InvalidOptionError",
    "Job",
    "JobCancelledError",
    "JobContext",
    "JobFailedError",
    "JobFailure",
    "JobInfo",
    "JobLog",
    "JobNotFoundError",
    "JobProgress",
    "JobStateError",
    "JobStatus",
    "JobTimeoutError",
    "Limit",
    "Middleware",
    "MoveDiffersError",
    "MoveRefusedError",
    "NoCurrentJobError",
    "NotOurDatabaseError",
    "OtherDatabaseError",
    "PayloadTooLargeError",
    "Purpose",
    "RateLimit",
    "ResultTimeoutError",
    "Retry",
    "SQLiteJob",
    "SQLiteJobError",
    "SQLiteTooOldError",
    "ScheduleInfo",
    "ScheduleNotFoundError",
    "ScheduleStateError",
    "Serializer",
    "SettingsError",
    "SignatureError",
    "SignedPickleSerializer",
    "Snooze",
    "StopRequested",
    "TransactionStateError",
    "UnknownFunctionError",
    "Worker",
    "WorkerInfo",
    "WorkerSettings",
    "call",
    "cron",
    "current_job",
    "every",
    "hide_secrets",
    "task",
]


def __getattr__(name: str) -> Any:
    # Producers need no engine: importing it takes as long as all the rest.
    if name == "Worker":
        from sqlite_job.worker import Worker

        return Worker
    message = f"module 'sqlite_job' has no attribute {name!r}"
    raise AttributeError(message)


if "SQLITE_JOB_FAILPOINTS" in os.environ:  # for the proof of reliability: nothing of it is imported otherwise
    from sqlite_job.testing.failpoints import install

    install(os.environ["SQLITE_JOB_FAILPOINTS"])
