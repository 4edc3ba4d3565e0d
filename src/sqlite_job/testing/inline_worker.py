"""Run jobs in the thread that asks for it, one after the other: what `drain` and `inline` are made of."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from functools import partial
from typing import Any, Awaitable, Callable, Deque, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from sqlite_job.core.context import State
from sqlite_job.core.errors import JobFailedError
from sqlite_job.core.events import Event, Events, JobsSettled
from sqlite_job.core.jobs import ClaimedJob, JobFailure, JobInfo
from sqlite_job.core.outcomes import Failed, FailureReport, Outcome, Retried, Returned
from sqlite_job.core.stopping import Stop, StopCause, StopRequested
from sqlite_job.engine.engine import Engine, EngineOptions
from sqlite_job.engine.executors import Report
from sqlite_job.engine.executors.coroutines import EventLoopThread
from sqlite_job.engine.hooks import Hooks
from sqlite_job.engine.runner import Runner
from sqlite_job.inspection import Inspector
from sqlite_job.settings import WorkerSettings
from sqlite_job.storage.interface import CommitWatcher, Storage, Wanted
from sqlite_job.wiring import make_runner
from sqlite_job.worker import Worker

# What belongs to the job that raises it. Anything else is for whoever runs the test: Ctrl-C, pytest.fail, pytest.exit.
_OF_JOBS = (Exception, SystemExit, asyncio.CancelledError, StopRequested, GeneratorExit)

_is_in_coroutine: contextvars.ContextVar[bool] = contextvars.ContextVar("sqlite_job_in_coroutine", default=False)


class Run(NamedTuple):
    """One try of a job that was settled."""

    job_id: str
    function: str
    has_failed: bool


class Workplace:
    """What the jobs of one block share: the worker's state and hooks, an event loop, and what the jobs raised."""

    def __init__(self, settings: WorkerSettings) -> None:
        """Prepare for jobs of these settings; nothing is called before the block is entered."""
        self.settings = settings
        self.loop = _LoopBeside()
        self.hooks = Hooks(settings.hooks, lambda: self.loop)
        self.errors: Dict[str, BaseException] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Workplace:  # noqa: PYI034 - Self is not in the typing of 3.8; nobody derives from it
        """Call `on_startup`."""
        with contextlib.ExitStack() as stack:
            stack.callback(self.loop.close)
            self.hooks.call("on_startup")
            stack.callback(self.hooks.call, "on_shutdown")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """Call `on_shutdown`, and end the loop."""
        self._stack.close()

    def queues(self) -> Dict[str, Dict[str, int]]:
        """Return how many jobs each queue has in each status."""
        return {
            queue: {status.value: count for status, count in counts.items()}
            for queue, counts in Inspector(self.settings.location).queues().items()
        }

    def error_of(self, job: JobInfo, failures: Sequence[JobFailure]) -> JobFailedError:
        """Return what to raise for a job whose last try failed, caused by what that try raised."""
        if not failures:
            return JobFailedError(job.id, "Unknown", job.error or "", "")
        last = failures[-1]
        error = JobFailedError(job.id, last.error_type, last.message, last.traceback)
        error.__cause__ = self.errors.get(job.id)
        return error


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

    def burst(self, max_jobs: Optional[int] = None) -> int:
        """Run jobs until none is ready, and return how many ran; with `max_jobs` end after so many, or one more.

        It is one more if and only if another one was ready.
        """
        return self._serve(burst=True, max_jobs=max_jobs)

    def next_run_at(self) -> Optional[int]:
        """Return the earliest time for which a job is scheduled, in any queue."""
        wanted = Wanted(self.queues, tuple(self.settings.registry.names), 1)
        return self._open_storage().peek(wanted, self._clock.now()).next_run_at

    def _note(self, event: Event) -> None:
        if isinstance(event, JobsSettled):
            for job, outcome in event.settled:
                if not isinstance(outcome, Returned):
                    self.runs.append(Run(job.id, job.function, isinstance(outcome, (Failed, Retried))))

    def _watch(self, storage: Storage) -> CommitWatcher:
        del storage
        return _NoWatcher()

    def _start_hooks(self, loop: object, stack: contextlib.ExitStack) -> Hooks:
        del loop, stack  # the workplace has started them, and will end them
        return self._workplace.hooks

    def _assign_executors(self, engine: Engine, hooks: Hooks, loop: object, stack: contextlib.ExitStack) -> None:
        del loop, stack
        kind = partial(_NotingRunner, self._workplace.errors)
        runner = make_runner(self.settings, hooks, self._clock, kind)
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

    def interrupt(self) -> None:
        self._interrupted.set()

    def close(self) -> None:
        """Do nothing."""


class _InThisThread:
    """An executor whose `submit` returns when the jobs have ended."""

    def __init__(self, runner: Runner, settings: WorkerSettings, report: Report, workplace: Workplace) -> None:
        self._runner = runner
        self._tasks = settings.registry.tasks
        self._report = report
        self._loop = workplace.loop
        self._errors: Mapping[str, BaseException] = workplace.errors
        self._waiting: Deque[ClaimedJob] = deque()

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Run jobs; raises what a job raised that is not for its worker, after the job is reported."""
        self._waiting.extend(jobs)
        while self._waiting:
            job = self._waiting.popleft()
            self._report(self._run(job))
            error = self._errors.get(job.id)
            if error is not None and not isinstance(error, _OF_JOBS):
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
            if self._tasks[job.function].is_coroutine:
                return self._loop.run(self._runner.run_async(job, Stop()))  # type: ignore[no-any-return]
            return _call_without_loop(partial(self._runner.run, job, Stop()))
        except BaseException:
            # Ctrl-C while the job ran in another thread: it is not waited for.
            self._report(Returned(job.seq, job.claim_number))
            raise


class _NotingRunner(Runner):
    """A runner that keeps what jobs raise, besides the texts that are stored."""

    def __init__(self, errors: Dict[str, BaseException], *parts: Any, state: State, **more: Any) -> None:
        super().__init__(*parts, state=state, **more)
        self._errors = errors

    def _retried_or_failed(
        self, job: ClaimedJob, ended: Tuple[int, int, int, int], error: BaseException, report: FailureReport
    ) -> Outcome:
        self._errors[job.id] = error
        return super()._retried_or_failed(job, ended, error, report)


class _LoopBeside:
    """An event loop in a thread of its own, made when first needed.

    A coroutine that makes a job run, by `enqueue` or `drain`, blocks its loop meanwhile: that job gets another one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: Optional[EventLoopThread] = None

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Await something, and return its value."""
        if _is_in_coroutine.get():
            other = EventLoopThread()
            try:
                return other.run(awaitable)
            finally:
                other.close()
        with self._lock:
            self._thread = self._thread or EventLoopThread()
        return self._thread.run(_marked(awaitable))

    def close(self) -> None:
        """End the thread, if there is one."""
        if self._thread is not None:
            self._thread.close()


async def _marked(awaitable: Awaitable[Any]) -> Any:
    _is_in_coroutine.set(True)
    return await awaitable


def _call_without_loop(work: Callable[[], Outcome]) -> Outcome:
    """Call `work` here, or in another thread when this one runs an event loop: a job may call asyncio.run."""
    if not _runs_loop():
        return work()
    outcomes: List[Outcome] = []
    context = contextvars.copy_context()
    thread = threading.Thread(target=lambda: outcomes.append(context.run(work)), name="sqlite-job-inline", daemon=True)
    thread.start()
    thread.join()
    return outcomes[0]


def _runs_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
