"""Look at jobs, wait for them and operate on them: what SQLiteJob can do besides enqueueing."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Dict, List, Mapping, Optional, Union

from sqlite_job import inspection
from sqlite_job.core.clock import SystemClock
from sqlite_job.core.errors import (
    InvalidNameError,
    InvalidOptionError,
    JobCancelledError,
    JobFailedError,
    JobNotFoundError,
)
from sqlite_job.core.jobs import JobFailure, JobInfo, StoredResult
from sqlite_job.core.names import check_name
from sqlite_job.core.notes import JobLog, JobProgress
from sqlite_job.core.options import MetaValue
from sqlite_job.core.serializers import Codecs
from sqlite_job.core.states import JobStatus
from sqlite_job.job import Job
from sqlite_job.settings_address import refuse_while_loading
from sqlite_job.storage.interface import Storage
from sqlite_job.storage.opening import open_storage
from sqlite_job.waiting import await_final, read_result, wait_until_final

_clock = SystemClock()


class Operations:
    """One database seen from outside a worker; `queue` is the default one of what is about a queue."""

    queue: str
    _database: str
    _durability: str
    _allow_network_fs: bool
    _codecs: Codecs

    def job(self, job_id: str) -> Job[Any]:
        """Return a handle of a stored id; it is looked up when used."""
        return Job(_check_id(job_id), self)

    def get_job(self, job_id: str) -> JobInfo:
        """Return what is known of a job; raises JobNotFoundError."""
        return inspection.read_job(self._storage, _check_id(job_id))

    def get_job_result(self, job_id: str) -> Any:
        """Return what a completed job returned; None for one that has not finished, or failed.

        Raises JobNotFoundError, or DecodeError if the result cannot be decoded here.
        """
        stored = read_result(self._storage, _check_id(job_id))
        return self._value(stored, job_id) if stored.status is JobStatus.COMPLETED else None

    def failures(self, job_id: str) -> List[JobFailure]:
        """Return the tries of a job that did not succeed, oldest first."""
        return self._storage.failures(_check_id(job_id))

    def progress(self, job_id: str) -> Optional[JobProgress]:
        """Return how far a job has come, as it said last, on whichever try; None where it has said nothing.

        Raises JobNotFoundError.
        """
        return self._storage.progress(_check_id(job_id))

    def logs(self, job_id: str) -> List[JobLog]:
        """Return the log records that were kept of a job (`capture_logs`), oldest first; raises JobNotFoundError."""
        return self._storage.logs(_check_id(job_id))

    def list_jobs(
        self,
        *,
        status: Union[str, JobStatus, None] = None,
        queue: Optional[str] = None,
        function: Optional[str] = None,
        tag: Optional[str] = None,
        meta: Optional[Mapping[str, MetaValue]] = None,
        limit: int = 100,
        after: Union[int, JobInfo, None] = None,
    ) -> List[JobInfo]:
        """Return jobs of the database, newest first; `after` is the last job of the page before, or its `cursor`.

        All that is given must match; of `meta` each key, with this very value.
        """
        return inspection.list_jobs(
            self._storage, status=status, queue=queue, function=function, tag=tag, meta=meta, limit=limit, after=after
        )

    def counts(self, queue: Optional[str] = None) -> Dict[JobStatus, int]:
        """Return how many jobs this queue (or the given one) has in each status, zeros included."""
        queue = self.queue if queue is None else check_name(queue, "queue name")
        found = inspection.count_queues(self._storage).get(queue, {})
        return {status: found.get(status, 0) for status in JobStatus}

    def delete(self, job_id: str) -> None:
        """Delete a job with its arguments, result and history.

        Raises JobNotFoundError, or JobStateError while it runs.
        """
        self._storage.delete(_check_id(job_id))

    def cancel(self, job_id: str, reason: Optional[str] = None) -> bool:
        """Cancel a job: one that waits at once, one that runs is told within a second; False if it had finished.

        A running coroutine is cancelled, a thread has `StopRequested` raised in it, a process is signalled, and killed
        if need be; a job that completes all the same stays completed. Raises JobNotFoundError.
        """
        if reason is not None and not isinstance(reason, str):
            message = f"reason is a text, not {reason!r}"
            raise InvalidOptionError(message)
        if reason is not None:
            reason = reason.encode("utf-8", "backslashreplace").decode()
        return not self._storage.cancel(_check_id(job_id), reason, _clock.now()).is_final

    def requeue(self, job_id: str) -> Job[Any]:
        """Run a finished job again, from its first try; its result is dropped, its failures are kept.

        Raises JobNotFoundError, or JobStateError for a job that has not finished.
        """
        self._storage.requeue(_check_id(job_id), _clock.now())
        return Job(job_id, self)

    def close(self) -> None:
        """Close the connections of this process to the database; the next use opens new ones."""
        self._storage.close()

    def wait_for_result(self, job_id: str, timeout: Optional[float] = None) -> Any:
        """Wait for a job, at most `timeout` seconds, and return its result; as `Job.result`."""
        return self._outcome(wait_until_final(self._storage, _check_id(job_id), timeout), job_id)

    async def await_result(self, job_id: str, timeout: Optional[float] = None) -> Any:
        """Wait for a job without blocking the event loop; as `Job.aresult`."""
        return self._outcome(await await_final(self._storage, _check_id(job_id), timeout), job_id)

    @cached_property
    def _storage(self) -> Storage:
        refuse_while_loading()
        return open_storage(self._database, self._durability, allow_network_fs=self._allow_network_fs)

    def _outcome(self, stored: StoredResult, job_id: str) -> Any:
        if stored.status is JobStatus.COMPLETED:
            return self._value(stored, job_id)
        if stored.status is JobStatus.CANCELLED:
            raise JobCancelledError(job_id, stored.cancel_reason)
        failures = self._storage.failures(job_id)
        if not failures:
            raise JobFailedError(job_id, "Unknown", "its history was deleted", "")
        last = failures[-1]
        raise JobFailedError(job_id, last.error_type, last.message, last.traceback)

    def _value(self, stored: StoredResult, job_id: str) -> Any:
        return self._codecs.decode(stored.codec or "", stored.value or b"", stored.function, job_id, "result")


def _check_id(job_id: object) -> str:
    if not isinstance(job_id, str):
        message = f"A job id is text, not {type(job_id).__name__}: {job_id!r}"
        raise InvalidNameError(message)
    try:
        job_id.encode()
    except UnicodeEncodeError:
        raise JobNotFoundError(job_id) from None  # no database holds it
    return job_id
