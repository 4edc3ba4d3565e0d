"""Run jobs as soon as they are enqueued, in the thread that enqueues them."""

from __future__ import annotations

import contextlib
import contextvars
from contextlib import suppress
from typing import Callable, Iterator, Optional, Sequence

from sqlite_job import connections
from sqlite_job.connections import SQLiteJob
from sqlite_job.core.errors import JobNotFoundError, ResultTimeoutError
from sqlite_job.core.jobs import NewJob
from sqlite_job.core.states import JobStatus
from sqlite_job.settings import WorkerSettings, check_settings
from sqlite_job.testing.inline_worker import InlineWorker
from sqlite_job.testing.workplace import Workplace

# How long to wait for a commit about a job that another thread runs, before looking what became of it.
_LOOK_SECONDS = 0.05

# What one `enqueue` may make run, and how deep: a job that enqueues has the other one run inside of its own call.
_MOST_JOBS = 1_000
_MOST_NESTED = 20

_depth: contextvars.ContextVar[int] = contextvars.ContextVar("sqlite_job_inline_depth", default=0)


@contextlib.contextmanager
def inline(settings: WorkerSettings, *, raise_errors: bool = False) -> Iterator[SQLiteJob]:
    """Run each job right after it is enqueued in the database of `settings`, before `enqueue` returns.

    By whatever SQLiteJob of this process, in any queue, and with all else that is ready there. Arguments and results
    are encoded and stored as always. A job that fails is tried again without waiting, up to its `max_tries`; what is
    scheduled or snoozed waits for `drain`. With `raise_errors` a job that failed for good raises its JobFailedError
    out of `enqueue`, else out of `result()`. Yields a SQLiteJob for the queue "default".
    """
    checked = check_settings(settings, "inline")
    with Workplace(checked, _MOST_JOBS) as workplace, _listening(
        _Inline(workplace, raise_errors=raise_errors), checked.location
    ):
        yield SQLiteJob("default", checked)


class _Inline:
    """What happens after each commit of new jobs."""

    def __init__(self, workplace: Workplace, *, raise_errors: bool) -> None:
        self._workplace = workplace
        self._raise_errors = raise_errors
        self._inspector = workplace.inspector

    def __call__(self, new_jobs: Sequence[NewJob]) -> None:
        __tracebackhide__ = True
        depth = _depth.get()
        if depth == 0:
            self._workplace.count_anew()
        if depth == _MOST_NESTED:
            raise self._workplace.give_up(f"jobs enqueued jobs inside of one another {depth} deep")
        token = _depth.set(depth + 1)
        try:
            InlineWorker(self._workplace.queues(), self._workplace, retries_at_once=True).burst()
        finally:
            _depth.reset(token)
        for new in new_jobs:
            if not new.has_own_id:  # else it may be an older job: perhaps the very one that enqueues here
                self._wait_for_others(new.id)
            error = self._error_of(new.id) if self._raise_errors else None
            if error is not None:
                raise error

    def _wait_for_others(self, job_id: str) -> None:
        """Wait while another thread that enqueued runs this job, too: it takes whatever is ready."""
        with suppress(JobNotFoundError):
            while self._inspector.job(job_id).status is JobStatus.RUNNING:
                with suppress(ResultTimeoutError):
                    self._inspector.wait(job_id, _LOOK_SECONDS)

    def _error_of(self, job_id: str) -> Optional[Exception]:
        with suppress(JobNotFoundError):
            job = self._inspector.job(job_id)
            if job.status is JobStatus.FAILED:
                return self._workplace.error_of(job, self._inspector.failures(job_id))
        return None


@contextlib.contextmanager
def _listening(run: Callable[[Sequence[NewJob]], None], location: str) -> Iterator[None]:
    before = connections.after_enqueue

    def after_enqueue(database: str, new_jobs: Sequence[NewJob]) -> None:
        __tracebackhide__ = True
        if database == location:
            run(new_jobs)
        elif before is not None:
            before(database, new_jobs)

    connections.after_enqueue = after_enqueue
    try:
        yield
    finally:
        connections.after_enqueue = before
