"""Work off what is ready, here and now, and say what ran."""

from __future__ import annotations

import contextlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

from sqlite_job.connections import SQLiteJob
from sqlite_job.core.clock import to_datetime
from sqlite_job.core.errors import InvalidOptionError, JobNotFoundError
from sqlite_job.core.events import Events
from sqlite_job.core.jobs import JobInfo
from sqlite_job.core.numbers import is_whole
from sqlite_job.core.states import JobStatus
from sqlite_job.settings import WorkerSettings, check_settings
from sqlite_job.settings_address import refuse_while_loading
from sqlite_job.testing.clocks import FakeClock, fake_time, installed_clock
from sqlite_job.testing.inline_worker import InlineWorker
from sqlite_job.testing.workplace import Workplace
from sqlite_job.worker import Worker

Queues = Union[str, Sequence[str], None]


@dataclass(frozen=True)
class Drained:
    """What a drain did: `jobs` in the order they ran first, as they are now; `runs` counts each try."""

    jobs: Tuple[JobInfo, ...]
    runs: int

    @property
    def counts(self) -> Dict[JobStatus, int]:
        """How many of the jobs have each status; those that occur. It equals a dict of texts, as {"completed": 2}."""
        return dict(Counter(job.status for job in self.jobs))

    @property
    def completed(self) -> Tuple[JobInfo, ...]:
        """The jobs that are done."""
        return self._with(JobStatus.COMPLETED)

    @property
    def failed(self) -> Tuple[JobInfo, ...]:
        """The jobs that failed, with no try left."""
        return self._with(JobStatus.FAILED)

    def _with(self, status: JobStatus) -> Tuple[JobInfo, ...]:
        return tuple(job for job in self.jobs if job.status is status)


def drain(
    settings_or_worker: Union[WorkerSettings, Worker],
    queues: Queues = None,
    *,
    include_scheduled: bool = False,
    max_jobs: int = 1_000,
    raise_errors: bool = False,
) -> Drained:
    """Run the jobs that are ready, and those they enqueue, in this thread, until none is left; return what ran.

    `queues`: one, several in strict order, or None for all of the database (a worker's own, if one is given).
    `include_scheduled`: also what is due later, next tries included; the time is moved on for each: that of the
    `fake_time` block where there is one, else for the drain alone. Raises TooManyJobsError when more than `max_jobs`
    runs are needed, and with `raise_errors` the JobFailedError of the first job whose last try failed, once nothing is
    ready any more.
    """
    __tracebackhide__ = True
    refuse_while_loading()
    if not is_whole(max_jobs, least=1):
        raise InvalidOptionError(f"max_jobs is a whole number from 1, not {max_jobs!r}")
    events: Optional[Events] = None
    if isinstance(settings_or_worker, Worker):
        settings = settings_or_worker.settings
        events = settings_or_worker._events  # noqa: SLF001 - who subscribed to that worker hears of its jobs
        queues = settings_or_worker.queues if queues is None else queues
    else:
        settings = check_settings(settings_or_worker, "drain")
    with Workplace(settings, max_jobs) as workplace:
        drainer = _Drainer(workplace, queues, events)
        drainer.work_off()
        if include_scheduled:
            drainer.work_off_scheduled()
    drained = drainer.drained()
    error = drainer.first_error(drained) if raise_errors else None
    if error is not None:
        raise error
    return drained


class _Drainer:
    """One drain: a burst, and another one whenever there is a new queue, or the time was moved on."""

    def __init__(self, workplace: Workplace, queues: Queues, events: Optional[Events]) -> None:
        self._workplace = workplace
        self._queues = None if queues is None else (queues,) if isinstance(queues, str) else tuple(queues)
        self._events = events
        self._jobs = SQLiteJob("default", workplace.settings)
        self._runs = 0
        self._ids: Dict[str, bool] = {}  # of the jobs that ran: whether the last try failed

    def work_off(self) -> None:
        served: Optional[Tuple[str, ...]] = None
        queues = self._queues_now()
        while queues != served:  # a job may have enqueued to a queue that was not there before
            self._burst(InlineWorker(queues, self._workplace, events=self._events, retries_at_once=False))
            served, queues = queues, self._queues_now()

    def work_off_scheduled(self) -> None:
        moved_to = None
        with _movable_time() as clock:
            while self._has_scheduled():
                worker = InlineWorker(self._queues_now(), self._workplace, retries_at_once=False)
                next_run_at = worker.next_run_at()
                if next_run_at is None or next_run_at == moved_to:  # it is due, and nothing could run it
                    return
                moved_to = next_run_at
                clock.move_to(max(clock.now(), to_datetime(next_run_at)))
                self.work_off()

    def drained(self) -> Drained:
        found: List[JobInfo] = []
        for job_id in self._ids:
            with suppress(JobNotFoundError):  # a job may delete others, and settings may keep nothing
                found.append(self._jobs.get_job(job_id))
        return Drained(tuple(found), self._runs)

    def first_error(self, drained: Drained) -> Optional[Exception]:
        for job in drained.jobs:
            if self._ids[job.id] and job.status not in (JobStatus.COMPLETED, JobStatus.CANCELLED):
                return self._workplace.error_of(job, self._jobs.failures(job.id))
        return None

    def _queues_now(self) -> Tuple[str, ...]:
        return self._workplace.queues() if self._queues is None else self._queues

    def _has_scheduled(self) -> bool:
        counts = self._workplace.inspector.queues()
        return any(counts.get(queue, {}).get(JobStatus.SCHEDULED) for queue in self._queues_now())

    def _burst(self, worker: InlineWorker) -> None:
        self._runs += worker.burst()
        self._ids.update((run.job_id, run.has_failed) for run in worker.runs)


@contextlib.contextmanager
def _movable_time() -> Iterator[FakeClock]:
    """Yield the clock that goes here, or one for as long as the block lasts."""
    clock = installed_clock()
    if clock is not None:
        yield clock
        return
    with fake_time() as own:
        yield own
