"""Turn rows into what is known of a job."""

from __future__ import annotations

from sqlite_job.core.clock import to_datetime
from sqlite_job.core.context import parse_meta, parse_tags
from sqlite_job.core.jobs import JobInfo
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.statement import Row


def job_info(row: Row) -> JobInfo:
    """Return the JobInfo of a row of `sql.lookup.INFO`."""
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
