"""Look at what was enqueued: list it, or assert that a job is, or is not, among it."""

from __future__ import annotations

import os
from datetime import datetime
from functools import cached_property
from typing import Any, Callable, Iterable, Iterator, List, Mapping, Optional, Tuple, Union

from sqlite_job.connections import SQLiteJob
from sqlite_job.core.calls import Call
from sqlite_job.core.errors import DecodeError, InvalidOptionError
from sqlite_job.core.jobs import JobInfo, StoredArguments
from sqlite_job.core.numbers import is_whole
from sqlite_job.core.states import JobStatus
from sqlite_job.settings import WorkerSettings
from sqlite_job.testing.expectation import Delay, Expectation, Options
from sqlite_job.testing.report import describe_missing, describe_unexpected, describe_wrong_count

Where = Union[SQLiteJob, WorkerSettings, str, "os.PathLike[str]"]
Function = Union[str, Callable[..., Any], Call[Any]]

_PAGE = 500


class EnqueuedJob:
    """A job as it was enqueued, with its arguments; `info` says what has become of it."""

    def __init__(self, jobs: SQLiteJob, info: JobInfo) -> None:
        """Join what is known of a job and the door to its arguments, which are decoded when asked for."""
        self._jobs = jobs
        self.info = info

    @property
    def id(self) -> str:
        """The job's id."""
        return self.info.id

    @property
    def function(self) -> str:
        """The name of the function."""
        return self.info.function

    @property
    def args(self) -> Tuple[Any, ...]:
        """The positional arguments; raises DecodeError where they cannot be decoded."""
        return tuple(self._decoded[0])

    @property
    def kwargs(self) -> Mapping[str, Any]:
        """The keyword arguments; raises DecodeError where they cannot be decoded."""
        return dict(self._decoded[1])

    @cached_property
    def stored(self) -> StoredArguments:
        """The encoded arguments; raises DecodeError if they are gone."""
        found = self._jobs._storage.arguments(self.id)  # noqa: SLF001 - no other door shows arguments
        if found is None:
            raise DecodeError(f"the arguments of job {self.id} are gone: the job was deleted meanwhile")
        return found

    @cached_property
    def _decoded(self) -> Tuple[Any, Any]:
        stored = self.stored
        codecs = self._jobs._codecs  # noqa: SLF001 - decoded as the worker would
        args, kwargs = codecs.decode(stored.codec, stored.args, stored.function, self.id)
        return args, kwargs

    def __repr__(self) -> str:
        """Show the call by its preview, and the status."""
        return f"<EnqueuedJob {self.function}({self.info.arguments or ''}) {self.info.status}>"


def enqueued(
    where: Where,
    function: Optional[Function] = None,
    *,
    queue: Optional[str] = None,
    priority: Optional[int] = None,
    delay: Optional[Delay] = None,
    run_at: Optional[datetime] = None,
    tags: Iterable[str] = (),
    meta: Optional[Mapping[str, Any]] = None,
    status: Union[str, JobStatus, None] = None,
) -> List[EnqueuedJob]:
    """Return the jobs of a database that match, oldest first; without anything to match all of them.

    `where`: a SQLiteJob, settings, or a database. `function`: a name or a function with whatever arguments, or
    `call(function, ...)` with exactly these. `delay`: seconds or a timedelta, within a second, or a pair of them,
    (least, most). `run_at`: within a second. `tags` and `meta`: what the job has among its own. Raises
    UnknownFunctionError (where settings are at hand), InvalidOptionError, InvalidNameError.
    """
    jobs = _door(where)
    options = Options(queue, priority, delay, run_at, tags, meta, status)
    wanted = Expectation(jobs, function, options)
    return [job for job in _all_jobs(jobs) if wanted.is_met_by(job)]


def assert_enqueued(
    where: Where,
    function: Function,
    *,
    queue: Optional[str] = None,
    priority: Optional[int] = None,
    delay: Optional[Delay] = None,
    run_at: Optional[datetime] = None,
    tags: Iterable[str] = (),
    meta: Optional[Mapping[str, Any]] = None,
    status: Union[str, JobStatus, None] = None,
    count: Optional[int] = None,
) -> List[EnqueuedJob]:
    """Assert that a matching job was enqueued, with `count` exactly so many; return the matching ones, oldest first.

    Matches as `enqueued` does, jobs in any status: what has run already was enqueued, too. Raises AssertionError that
    shows what was enqueued instead, nearest first.
    """
    __tracebackhide__ = True
    if count is not None and not is_whole(count, least=0):
        raise InvalidOptionError(f"count is a whole number from 0, or None for at least one, not {count!r}")
    jobs = _door(where)
    wanted = Expectation(jobs, function, Options(queue, priority, delay, run_at, tags, meta, status))
    everything = list(_all_jobs(jobs))
    found = [job for job in everything if wanted.is_met_by(job)]
    if count is not None and len(found) != count:
        raise AssertionError(describe_wrong_count(wanted, count, found, everything))
    if count is None and not found:
        raise AssertionError(describe_missing(wanted, everything))
    return found


def refute_enqueued(
    where: Where,
    function: Optional[Function] = None,
    *,
    queue: Optional[str] = None,
    priority: Optional[int] = None,
    delay: Optional[Delay] = None,
    run_at: Optional[datetime] = None,
    tags: Iterable[str] = (),
    meta: Optional[Mapping[str, Any]] = None,
    status: Union[str, JobStatus, None] = None,
) -> None:
    """Assert that no matching job was enqueued, without anything to match: no job at all.

    Matches as `enqueued` does. Raises AssertionError that shows the matching jobs.
    """
    __tracebackhide__ = True
    jobs = _door(where)
    wanted = Expectation(jobs, function, Options(queue, priority, delay, run_at, tags, meta, status))
    found = [job for job in _all_jobs(jobs) if wanted.is_met_by(job)]
    if found:
        raise AssertionError(describe_unexpected(wanted, found))


def _door(where: Where) -> SQLiteJob:
    if isinstance(where, SQLiteJob):
        return where
    if isinstance(where, WorkerSettings):
        return SQLiteJob("default", where)
    if isinstance(where, (str, os.PathLike)):
        return SQLiteJob(database=where)
    raise TypeError(f"the first argument is a SQLiteJob, settings, or the path of a database, not {where!r}")


def _all_jobs(jobs: SQLiteJob) -> Iterator[EnqueuedJob]:
    """Yield all jobs of the database, oldest first."""
    found: List[JobInfo] = []
    page = jobs.list_jobs(limit=_PAGE)
    while page:
        found += page
        page = jobs.list_jobs(limit=_PAGE, after=page[-1])
    return (EnqueuedJob(jobs, info) for info in reversed(found))
