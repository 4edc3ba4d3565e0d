"""Hold on to one job: its id, which is a `str`, with methods to wait for it and look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, List, Optional, Tuple, Type, TypeVar

if TYPE_CHECKING:
    from sqlite_job.core.jobs import JobInfo
    from sqlite_job.core.notes import JobLog, JobProgress
    from sqlite_job.core.states import JobStatus
    from sqlite_job.operations import Operations

T_co = TypeVar("T_co", covariant=True)


class Job(str, Generic[T_co]):  # noqa: SLOT000 - a str with slots would have no room for the door
    """A job's id that knows its queue's database; `T_co` is what the job returns.

    Pickled or copied it is the plain id: make a handle of it again with `SQLiteJob.job(id)`.
    """

    _jobs: Operations

    def __new__(cls, job_id: str, jobs: Operations) -> Job[T_co]:
        """Join an id and the door it came through."""
        job = str.__new__(cls, job_id)
        job._jobs = jobs  # noqa: SLF001 - its own
        return job

    def __reduce__(self) -> Tuple[Type[str], Tuple[str]]:
        """Pickle as the plain id: a handle without its database would be of no use."""
        return (str, (str(self),))

    @property
    def id(self) -> str:
        """The id as a plain string."""
        return str(self)

    def result(self, timeout: Optional[float] = None) -> T_co:
        """Wait for the job, and return what its function returned.

        Waits at most `timeout` seconds (None: for ever). Raises JobFailedError with the traceback from where it ran,
        JobCancelledError, ResultTimeoutError, or JobNotFoundError if it is deleted meanwhile.
        """
        return self._jobs.wait_for_result(self, timeout)  # type: ignore[no-any-return]

    async def aresult(self, timeout: Optional[float] = None) -> T_co:
        """Wait for the job without blocking the event loop; else as `result`."""
        return await self._jobs.await_result(self, timeout)  # type: ignore[no-any-return]

    def cancel(self, reason: Optional[str] = None) -> bool:
        """Cancel the job, as `SQLiteJob.cancel`; False if it had finished."""
        return self._jobs.cancel(self, reason)

    def status(self) -> JobStatus:
        """Return the present status."""
        return self.info().status

    def info(self) -> JobInfo:
        """Return all that is known of the job now."""
        return self._jobs.get_job(self)

    def progress(self) -> Optional[JobProgress]:
        """Return how far the job has come, as it said last; None where it has said nothing."""
        return self._jobs.progress(self)

    def logs(self) -> List[JobLog]:
        """Return the log records that were kept of the job, oldest first."""
        return self._jobs.logs(self)
