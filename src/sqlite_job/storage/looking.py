"""Look jobs up, on any SQL database."""

from __future__ import annotations

from typing import List, Optional

from sqlite_job.core.clock import to_datetime
from sqlite_job.core.jobs import JobFailure, JobInfo, StoredResult
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.interface import JobFilter, QueueCount, Wanted
from sqlite_job.storage.reading import job_info
from sqlite_job.storage.sql import failure, job, lookup
from sqlite_job.storage.transacting import Transacting


class LookVerbs(Transacting):
    """The verbs of `Storage` that only read jobs."""

    def unknown_functions(self, wanted: Wanted) -> List[str]:
        """Read which functions nobody here has."""
        arrays = self._array(wanted.queues), self._array(wanted.functions)
        return [row[0] for row in self._read(lambda transaction: transaction.rows(job.UNKNOWN_FUNCTIONS, *arrays))]

    def get(self, job_id: str) -> Optional[JobInfo]:
        """Read one job."""
        rows = self._read(lambda transaction: transaction.rows(lookup.GET, job_id))
        return job_info(rows[0]) if rows else None

    def result(self, job_id: str) -> Optional[StoredResult]:
        """Read one job's function, status and result."""
        rows = self._read(lambda transaction: transaction.rows(lookup.RESULT, job_id))
        if not rows:
            return None
        function, status, codec, value, cancel_reason = rows[0]
        return StoredResult(function, JobStatus(status), codec, value, cancel_reason)

    def failures(self, job_id: str) -> List[JobFailure]:
        """Read the history of one job."""
        rows = self._read(lambda transaction: transaction.rows(failure.OF_JOB, job_id))
        return [
            JobFailure(try_number, error_type, message, traceback, to_datetime(started_at), to_datetime(finished_at))
            for try_number, error_type, message, traceback, started_at, finished_at in rows
        ]

    def find(self, wanted: JobFilter) -> List[JobInfo]:
        """Read matching jobs."""
        clause = lookup.find(wanted)
        return [job_info(row) for row in self._read(lambda transaction: transaction.select(clause))]

    def counts(self) -> List[QueueCount]:
        """Count all jobs."""
        rows = self._read(lambda transaction: transaction.rows(lookup.COUNTS))
        return [QueueCount(queue, JobStatus(status), count) for queue, status, count in rows]
