"""Look at jobs, wait for them and operate on them: what SQLiteJob can do besides enqueueing."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property, partial
from typing import Any, Dict, List, Mapping, Optional, Union

from sqlite_job import inspection
from sqlite_job.core.clock import Clock, elapsed, pause
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
from sqlite_job.core.options import MetaValue, check_duration
from sqlite_job.core.retention import START, Old, Pruned, Retention
from sqlite_job.core.retries import Seconds
from sqlite_job.core.serializers import Codecs
from sqlite_job.core.states import JobStatus
from sqlite_job.job import Job
from sqlite_job.settings_address import refuse_while_loading
from sqlite_job.storage.interface import Storage
from sqlite_job.storage.opening import open_storage
from sqlite_job.waiting import await_final, read_result, wait_until_final


class Operations:
    """One database seen from outside a worker; `queue` is the default one of what is about a queue."""

    queue: str
    _database: str
    _durability: str
    _allow_network_fs: bool
    _codecs: Codecs
    _retention: Retention
    _clock: Clock

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

    def pause(self, queue: Optional[str] = None) -> bool:
        """Let no worker take jobs from this queue (or the given one) until it is resumed; False if it was paused.

        Running jobs go on; those that a worker had taken but not started go back. Jobs may be enqueued as ever, and a
        queue may be paused before its first job.
        """
        return self._storage.pause(self.queue if queue is None else check_name(queue, "queue name"), self._clock.now())

    def resume(self, queue: Optional[str] = None) -> bool:
        """Let workers take jobs from this queue (or the given one) again, at once; False if it was not paused."""
        return self._storage.resume(self.queue if queue is None else check_name(queue, "queue name"))

    def paused_queues(self) -> Dict[str, datetime]:
        """Return the paused queues of the database, each with the time since when."""
        return inspection.read_paused(self._storage)

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
        return not self._storage.cancel(_check_id(job_id), reason, self._clock.now()).is_final

    def requeue(self, job_id: str) -> Job[Any]:
        """Run a finished job again, from its first try; its result is dropped, its failures are kept.

        Raises JobNotFoundError, or JobStateError for a job that has not finished.
        """
        self._storage.requeue(_check_id(job_id), self._clock.now())
        return Job(job_id, self)

    def prune(
        self,
        *,
        older_than: Optional[Seconds] = None,
        status: Union[str, JobStatus, None] = None,
        queue: Optional[str] = None,
        function: Optional[str] = None,
        dry_run: bool = False,
    ) -> int:
        """Delete finished jobs of the database that ended longer ago than `older_than`; returns how many.

        Without it, those that the settings keep no longer (`keep_result`, `keep_failed`); all that is given must
        match. With `dry_run` they are only counted. It goes in short batches, so that nobody else waits for long.
        Raises InvalidOptionError or InvalidNameError.
        """
        rules = self._old_jobs(older_than, _check_final(inspection.parse_status(status)), queue, function)
        pruned = sum(self._prune(rule, dry_run=dry_run) for rule in rules)
        # Where no worker runs, nobody else would do it.
        while not dry_run and self._storage.give_back_space():
            pass
        return pruned

    def close(self) -> None:
        """Close the connections of this process to the database; the next use opens new ones."""
        self._storage.close()

    def wait_for_result(self, job_id: str, timeout: Optional[float] = None) -> Any:
        """Wait for a job, at most `timeout` seconds, and return its result; as `Job.result`."""
        return self._outcome(wait_until_final(self._storage, _check_id(job_id), timeout), job_id)

    async def await_result(self, job_id: str, timeout: Optional[float] = None) -> Any:
        """Wait for a job without blocking the event loop; as `Job.aresult`."""
        return self._outcome(await await_final(self._storage, _check_id(job_id), timeout), job_id)

    def _old_jobs(
        self,
        older_than: Optional[Seconds],
        status: Optional[JobStatus],
        queue: Optional[str],
        function: Optional[str],
    ) -> List[Old]:
        """Return what to prune, as a rule for each length of time; raises for what cannot match."""
        for name, kind in ((queue, "queue name"), (function, "function name")):
            if name is not None:
                check_name(name, kind)

        def matches(of_queue: str, of_function: str, ended: JobStatus) -> bool:
            return queue in (None, of_queue) and function in (None, of_function) and status in (None, ended)

        def is_old(period: int, of_queue: str, of_function: str, ended: JobStatus) -> bool:
            return matches(of_queue, of_function, ended) and self._retention.of(of_function, ended) == period

        now = self._clock.now()
        if older_than is not None:
            return [Old(now - check_duration("older_than", older_than), matches)]
        return [Old(now - period, partial(is_old, period)) for period in self._retention.periods()]

    def _prune(self, old: Old, *, dry_run: bool) -> int:
        done = Pruned(0, START, is_end=False)
        jobs = 0
        while not done.is_end:
            began = elapsed()
            if dry_run:
                done = self._storage.find_old(old, done.place)
            else:
                done = self._storage.prune(old, done.place, self._clock.now())
                pause(elapsed() - began)  # the lock is for the others half of the time
            jobs += done.jobs
        return jobs

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


def _check_final(status: Optional[JobStatus]) -> Optional[JobStatus]:
    if status is not None and not status.is_final:
        message = f"only finished jobs are pruned: completed, failed or cancelled, not {status}"
        raise InvalidOptionError(message)
    return status
