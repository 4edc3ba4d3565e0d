"""Run jobs in the thread that asks for it, one after the other: what `drain` and `inline` are made of."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from functools import partial
from typing import Any, Deque, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from sqlite_job.core.events import Event, Events, JobsSettled
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.outcomes import NOT_RUN, Failed, FailureReport, Outcome, Retried, Returned
from sqlite_job.core.stopping import Stop, StopCause, StopRequested
from sqlite_job.engine.engine import Engine
from sqlite_job.engine.executors import Executor, Report
from sqlite_job.engine.hooks import Hooks
from sqlite_job.engine.notebook import Notebook
from sqlite_job.engine.options import EngineOptions
from sqlite_job.engine.runner import Runner
from sqlite_job.settings import WorkerSettings
from sqlite_job.storage.interface import CommitWatcher, Storage, Wanted
from sqlite_job.testing.workplace import TooManyJobsError, Workplace
from sqlite_job.wiring import make_runner
from sqlite_job.worker import Worker

# What belongs to the job that raises it. Anything else is for whoever runs the test: Ctrl-C, pytest.fail, pytest.exit.
_OF_JOBS = (Exception, SystemExit, asyncio.CancelledError, StopRequested, GeneratorExit)


class Run(NamedTuple):
    """One try of a job that was settled."""

    job_id: str
    function: str
    has_failed: bool


class InlineWorker(Worker):
    """A worker that calls every function in the thread that runs it, whatever its executor, one job at a time.

    Time limits are not kept: nothing could stop a function here. Coroutine functions run on an event loop beside.
    """

    def __init__(
        self, queues: Sequence[str], workplace: Workplace, *, events: Optional[Events] = None, retries_at_once: bool
    ) -> None:
        """Serve these queues; with `retries_at_once` no next try is waited for. Events go to `events`, too."""
        super().__init__(queues, workplace.settings)
        if events is not None:
            self._events = Events()  # those have their own log
            self._events.subscribe(events.emit)
        self._workplace = workplace
        self._retries_at_once = retries_at_once
        self.runs: List[Run] = []
        self.subscribe(self._note)

    def burst(self) -> int:
        """Run jobs until none is ready, and return how many ran; raises TooManyJobsError."""
        return self._serve(burst=True)

    def next_run_at(self) -> Optional[int]:
        """Return the earliest time for which a job is scheduled, in any queue."""
        wanted = Wanted(self.queues, tuple(self.settings.registry.names), 1)
        return self._open_storage().peek(wanted, self._clock.now()).next_run_at

    def _note(self, event: Event) -> None:
        if isinstance(event, JobsSettled):
            for job, outcome in event.settled:
                if type(outcome) not in NOT_RUN:
                    self.runs.append(Run(job.id, job.function, isinstance(outcome, (Failed, Retried))))

    def _watch(self, storage: Storage) -> CommitWatcher:
        del storage
        return _NoWatcher()

    def _start_hooks(self, loop: object, stack: contextlib.ExitStack) -> Hooks:
        del loop, stack  # the workplace has started them, and will end them
        return self._workplace.hooks

    def _make_runner(self, hooks: Hooks, notebook: Notebook) -> Runner:
        return make_runner(self.settings, hooks, self._clock, notebook, partial(_NotingRunner, self._workplace.errors))

    def _assign_executors(self, engine: Engine, runner: Runner, loop: object, stack: contextlib.ExitStack) -> None:
        del loop, stack
        report = self._without_waiting(engine.outbox.put) if self._retries_at_once else engine.outbox.put
        engine.assign(_InThisThread(runner, self.settings, report, self._workplace))

    def _engine_options(self) -> EngineOptions:
        # Strictly one by one: a job finds the others waiting or ended, and a more urgent one that it enqueues is next.
        return super()._engine_options()._replace(slots=1, claims_ahead=False)

    def _without_waiting(self, report: Report) -> Report:
        def report_at_once(outcome: Outcome) -> None:
            report(outcome._replace(run_at=outcome.finished_at) if isinstance(outcome, Retried) else outcome)

        return report_at_once


class _NoWatcher:
    """Watches nothing: a burst in one thread waits for no commit, and to close a watch of inotify takes 14 ms."""

    def __init__(self) -> None:
        self._interrupted = threading.Event()

    def wait(self, timeout_seconds: float, *, ignore_commits: bool = False) -> bool:
        """Wait before the next try, when the database is locked or full."""
        del ignore_commits
        self._interrupted.wait(timeout_seconds)
        self._interrupted.clear()
        return False

    def forget(self) -> None:
        """Do nothing."""

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        """Do nothing."""


class _InThisThread(Executor):
    """An executor whose `submit` returns when the jobs have ended."""

    def __init__(self, runner: Runner, settings: WorkerSettings, report: Report, workplace: Workplace) -> None:
        self._runner = runner
        self._tasks = settings.registry.tasks
        self._report = report
        self._loop = workplace.loop
        self._count = workplace.count
        self._errors: Mapping[str, BaseException] = workplace.errors
        self._waiting: Deque[ClaimedJob] = deque()

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Run jobs; raises what a job raised that is not for its worker, after the job is reported.

        So does the limit to how many may run: it ends everything up to whoever made the first of these jobs run.
        """
        self._waiting.extend(jobs)
        while self._waiting:
            job = self._waiting.popleft()
            self._report(self._run(job))
            error = self._errors.get(job.id)
            if error is not None and (isinstance(error, TooManyJobsError) or not isinstance(error, _OF_JOBS)):
                raise error

    def take_back(self) -> List[ClaimedJob]:
        """Return the jobs that have not started: some, if another one interrupted this thread."""
        unstarted = list(self._waiting)
        self._waiting.clear()
        return unstarted

    def stop(self, seq: int, cause: StopCause, reason: Optional[str] = None) -> bool:
        """Do nothing: whoever could call this waits for the job."""
        del seq, cause, reason
        return False

    def interrupt(self) -> None:
        """Do nothing, as `stop`."""

    def close(self) -> None:
        """Do nothing: the loop belongs to the workplace."""

    def _run(self, job: ClaimedJob) -> Outcome:
        try:
            self._count(job.function)
            if self._tasks[job.function].is_coroutine:
                return self._loop.run(self._runner.run_async(job, Stop()))  # type: ignore[no-any-return]
            return self._loop.call_outside(partial(self._runner.run, job, Stop()))
        except BaseException:
            # One too many, or Ctrl-C while it ran in another thread: it is not waited for.
            self._report(Returned(job.seq, job.claim_number))
            raise


class _NotingRunner(Runner):
    """A runner that keeps what jobs raise, besides the texts that are stored."""

    def __init__(self, errors: Dict[str, BaseException], *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        self._errors = errors

    def _retried_or_failed(
        self, job: ClaimedJob, ended: Tuple[int, int, int, int], error: BaseException, report: FailureReport
    ) -> Outcome:
        self._errors[job.id] = error
        return super()._retried_or_failed(job, ended, error, report)
