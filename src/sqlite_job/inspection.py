"""Read what is in a queue's database: counts and lists, for the command line and whoever watches."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Callable, Dict, Iterator, List, Mapping, Optional, Tuple, Union

from sqlite_job.core.clock import elapsed, to_datetime
from sqlite_job.core.errors import InvalidOptionError, JobNotFoundError, ResultTimeoutError
from sqlite_job.core.findings import Finding
from sqlite_job.core.jobs import JobFailure, JobInfo
from sqlite_job.core.names import check_name
from sqlite_job.core.notes import JobLog, JobProgress
from sqlite_job.core.numbers import is_whole
from sqlite_job.core.options import MetaValue, check_meta_filter
from sqlite_job.core.schedule_info import ScheduleInfo, schedule_info
from sqlite_job.core.states import JobStatus
from sqlite_job.settings import default_database
from sqlite_job.storage.interface import JobFilter, Storage
from sqlite_job.storage.opening import Database, clock_of, examine, holds_queue, is_server, locate, open_storage
from sqlite_job.waiting import follow_logs


@dataclass(frozen=True)
class WorkerInfo:
    """A registered worker."""

    id: int
    host: str
    pid: int
    queues: Tuple[str, ...]
    started_at: datetime
    heartbeat_at: datetime


class Inspector:
    """Reads one database; it never changes a job, and never decodes one."""

    def __init__(self, database: Optional[Database] = None) -> None:
        """Read `database`, or the default one."""
        self.database = locate(default_database() if database is None else database)
        self._storage: Storage = open_storage(self.database, "full")

    @property
    def location(self) -> str:
        """The path of the database, or its URL without the password: fit to be shown; `database` is all of it."""
        return self._storage.location

    @property
    def is_on_server(self) -> bool:
        """Whether the database is on a server, and not a file."""
        return is_server(self.database)

    def exists(self) -> bool:
        """Whether the database is there and holds a queue; any other method would make one.

        Raises a DatabaseError for a file that is not a database, or another application's.
        """
        return holds_queue(self.database)

    def examine(self, *, full: bool = False) -> List[Finding]:
        """Look for what is wrong with the database, its files, its disk and its workers, in whatever state they are.

        With `full` every page and index is checked, which reads the whole file.
        """
        return examine(self.database, now=clock_of(self.database).now(), is_thorough=full)

    def now(self) -> datetime:
        """Return the time by which the database goes: a server's may differ from this machine's."""
        return to_datetime(clock_of(self.database).now())

    def queues(self) -> Dict[str, Dict[JobStatus, int]]:
        """Return how many jobs each queue has in each status that occurs."""
        return count_queues(self._storage)

    def paused_queues(self) -> Dict[str, datetime]:
        """Return the paused queues, each with the time since when; they need not have jobs."""
        return read_paused(self._storage)

    def workers(self) -> List[WorkerInfo]:
        """Return the registered workers, oldest first."""
        return [
            WorkerInfo(
                row.id,
                row.host,
                row.pid,
                tuple(json.loads(row.queues)),
                to_datetime(row.started_at),
                to_datetime(row.heartbeat_at),
            )
            for row in self._storage.workers()
        ]

    def job(self, job_id: str) -> JobInfo:
        """Return what is known of a job; raises JobNotFoundError."""
        return read_job(self._storage, job_id)

    def schedules(self) -> List[ScheduleInfo]:
        """Return all schedules, by name."""
        return [schedule_info(one) for one in self._storage.schedules()]

    def schedule(self, name: str) -> ScheduleInfo:
        """Return what is known of a schedule; raises ScheduleNotFoundError."""
        return schedule_info(self._storage.schedule(name))

    def failures(self, job_id: str) -> List[JobFailure]:
        """Return the tries of a job that did not succeed, oldest first; raises JobNotFoundError."""
        read_job(self._storage, job_id)
        return self._storage.failures(job_id)

    def progress(self, job_id: str) -> Optional[JobProgress]:
        """Return how far a job has come, as it said last, or None; raises JobNotFoundError."""
        return self._storage.progress(job_id)

    def logs(self, job_id: str) -> List[JobLog]:
        """Return the log records that were kept of a job, oldest first; raises JobNotFoundError."""
        return self._storage.logs(job_id)

    def follow_logs(self, job_id: str) -> Iterator[JobLog]:
        """Yield the log records of a job, those there are and those to come, until it has ended.

        Raises JobNotFoundError, also when it is deleted meanwhile.
        """
        return follow_logs(self._storage, job_id)

    def wait(
        self,
        job_id: str,
        timeout: Optional[float] = None,
        *,
        on_progress: Optional[Callable[[JobProgress], object]] = None,
    ) -> JobInfo:
        """Wait until a job has ended, however it did, at most `timeout` seconds (None: for ever), and return it.

        `on_progress` is called meanwhile with the newest progress, where the job tells of it. Raises
        ResultTimeoutError, or JobNotFoundError, also when it is deleted meanwhile.
        """
        return wait_for_end(self._storage, job_id, timeout, on_progress)

    def jobs(
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
        """Return matching jobs, newest first; `after` is the last job of the page before, or its `cursor`."""
        return list_jobs(
            self._storage, status=status, queue=queue, function=function, tag=tag, meta=meta, limit=limit, after=after
        )


def count_queues(storage: Storage) -> Dict[str, Dict[JobStatus, int]]:
    """Return how many jobs each queue has in each status that occurs."""
    queues: Dict[str, Dict[JobStatus, int]] = {}
    for row in storage.counts():
        queues.setdefault(row.queue, {})[row.status] = row.jobs
    return queues


def read_paused(storage: Storage) -> Dict[str, datetime]:
    """Return the paused queues, each with the time since when."""
    return {queue: to_datetime(since) for queue, since in storage.paused_queues().items()}


def read_job(storage: Storage, job_id: str) -> JobInfo:
    """Return what is known of a job; raises JobNotFoundError."""
    found = storage.get(str(job_id))
    if found is None:
        raise JobNotFoundError(str(job_id))
    return found


def wait_for_end(
    storage: Storage,
    job_id: str,
    timeout: Optional[float],
    on_progress: Optional[Callable[[JobProgress], object]] = None,
) -> JobInfo:
    """Return what is known of a job once it has ended; raises ResultTimeoutError or JobNotFoundError."""
    deadline = None if timeout is None else elapsed() + timeout
    committed = threading.Event()
    unsubscribe = storage.subscribe(committed.set)
    try:
        while True:
            committed.clear()
            found = read_job(storage, job_id)
            if found.status.is_final:
                return found
            newest = None if on_progress is None else storage.progress(job_id)
            if newest is not None and on_progress is not None:
                on_progress(newest)
            remaining = threading.TIMEOUT_MAX if deadline is None else deadline - elapsed()
            if remaining <= 0:
                raise ResultTimeoutError(job_id, timeout or 0)
            committed.wait(min(remaining, threading.TIMEOUT_MAX))
    finally:
        unsubscribe()


def list_jobs(
    storage: Storage,
    *,
    status: Union[str, JobStatus, None],
    queue: Optional[str],
    function: Optional[str],
    tag: Optional[str],
    meta: Optional[Mapping[str, MetaValue]],
    limit: int,
    after: Union[int, JobInfo, None],
) -> List[JobInfo]:
    """Return matching jobs, newest first; raises InvalidOptionError or InvalidNameError for what cannot match."""
    if not is_whole(limit, least=1):
        message = f"limit is a whole number from 1, not {limit!r}"
        raise InvalidOptionError(message)
    for name, kind in ((queue, "queue name"), (function, "function name"), (tag, "tag")):
        if name is not None:
            check_name(name, kind)
    cursor = after.cursor if isinstance(after, JobInfo) else after
    if cursor is not None and not is_whole(cursor):
        message = f"after is a job of the page before, or its cursor, not {after!r}"
        raise InvalidOptionError(message)
    return storage.find(JobFilter(parse_status(status), queue, function, tag, limit, cursor, check_meta_filter(meta)))


def parse_status(status: Union[str, JobStatus, None]) -> Optional[JobStatus]:
    """Return the status of that name; raises InvalidOptionError."""
    if status is None:
        return None
    try:
        return JobStatus(str(status).lower())
    except ValueError:
        message = f"no status {status!r}; it is one of {', '.join(one.value for one in JobStatus)}"
        raise InvalidOptionError(message) from None
