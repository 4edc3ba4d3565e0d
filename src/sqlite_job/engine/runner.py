"""Run one claimed job: decode, call, encode. Whatever happens ends as an Outcome, a value; nothing is raised."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Awaitable, Callable, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from sqlite_job.core.batches import BatchedJob, results_of
from sqlite_job.core.clock import SECOND, Clock
from sqlite_job.core.context import JobContext, State, end_try, enter_job, leave_job, transaction_of
from sqlite_job.core.errors import DecodeError, EncodeError, JobTimeoutError, PayloadTooLargeError
from sqlite_job.core.jobs import EXPIRED, ClaimedJob
from sqlite_job.core.outcomes import (
    Cancelled,
    Committed,
    Completed,
    Failed,
    FailureReport,
    Outcome,
    Retried,
    Returned,
    Snoozed,
)
from sqlite_job.core.previews import Previews
from sqlite_job.core.retries import Cancel, Snooze
from sqlite_job.core.serializers import Codecs
from sqlite_job.core.stopping import Stop, StopCause
from sqlite_job.core.tasks import RegisteredTask, runs_as_coroutine
from sqlite_job.core.transactions import OpenTransaction
from sqlite_job.engine.capture import Capture
from sqlite_job.engine.failures import clean_text, report_failure
from sqlite_job.engine.notebook import Notebook

_logger = logging.getLogger("sqlite_job")

Hook = Optional[Callable[[JobContext], Any]]


class JobHooks(NamedTuple):
    """What is called around each try."""

    on_start: Hook = None
    on_end: Hook = None


class RunnerOptions(NamedTuple):
    """What a runner needs to know of the settings."""

    max_payload: int = 1_000_000
    previews: Optional[Previews] = Previews()


class Runner:
    """Runs jobs of one registry, as plain calls (`run`) or as coroutines (`run_async`)."""

    def __init__(
        self,
        tasks: Mapping[str, RegisteredTask],
        codecs: Codecs,
        clock: Clock,
        *,
        state: State,
        hooks: JobHooks,
        options: RunnerOptions,
        run_on_loop: Callable[[Awaitable[Any]], Any],
        open_transaction: Callable[[Stop], OpenTransaction],
        notebook: Optional[Notebook] = None,
    ) -> None:
        """Take what jobs need; `run_on_loop` awaits an asynchronous hook from a plain thread.

        What jobs say of themselves goes into `notebook`, or nowhere.
        """
        self._tasks = tasks
        self._codecs = codecs
        self._now = clock.now
        self._state = state
        self._hooks = hooks
        self._options = options
        self._run_on_loop = run_on_loop
        self._notebook = notebook
        self._open_transaction = open_transaction

    def run(self, job: ClaimedJob, stop: Stop) -> Outcome:
        """Run a job with a plain function to its end; `stop` says why it was stopped, if it was."""
        started_at = self._now()
        if job.expires_at is not None and started_at >= job.expires_at:
            return Cancelled(started_at, started_at, job.seq, job.claim_number, EXPIRED)
        task = self._tasks[job.function]
        capture = self._capture(job) if task.capture_logs else None
        context = self._context(job, task, capture, stop)
        token = enter_job(context)
        try:
            if self._hooks.on_start is not None:
                self._call_hook(self._hooks.on_start, context)
            args, kwargs = self._arguments(job)
            value = task.function(*args, **kwargs)
            outcome: Outcome = self._completed(context, job, started_at, value)
        except BaseException as error:  # noqa: BLE001 - nothing that a job raises may reach the loop
            outcome = self._not_completed(context, job, stop, started_at, error)
        if self._hooks.on_end is not None:
            self._end(self._hooks.on_end, context)
        leave_job(token)
        if capture is not None:
            capture.end()
        end_try(context)
        return outcome

    async def run_async(self, job: ClaimedJob, stop: Stop) -> Outcome:
        """Run a job with a coroutine function to its end; `stop` says why it was stopped, if it was."""
        started_at = self._now()
        if job.expires_at is not None and started_at >= job.expires_at:
            return Cancelled(started_at, started_at, job.seq, job.claim_number, EXPIRED)
        task = self._tasks[job.function]
        capture = self._capture(job) if task.capture_logs else None
        context = self._context(job, task, capture, stop)
        enter_job(context)  # never left: a task has a context of its own
        try:
            if self._hooks.on_start is not None:
                await _await_hook(self._hooks.on_start, context)
            args, kwargs = self._arguments(job)
            value = await task.function(*args, **kwargs)
            outcome: Outcome = self._completed(context, job, started_at, value)
        except BaseException as error:  # noqa: BLE001 - nothing that a job raises may reach the loop
            outcome = self._not_completed(context, job, stop, started_at, error)
        if self._hooks.on_end is not None:
            try:
                await _await_hook(self._hooks.on_end, context)
            except BaseException:
                _logger.exception("on_job_end failed for %r", context)
        if capture is not None:
            capture.end()
        end_try(context)
        return outcome

    def run_batch(self, function: Callable[..., Any], jobs: Sequence[ClaimedJob]) -> List[Outcome]:
        """Call a batch function once, with all jobs that can be run; each has an outcome of its own."""
        started_at = self._now()
        outcomes: List[Outcome] = []
        ready: List[Tuple[ClaimedJob, BatchedJob]] = []
        for job in jobs:
            if job.expires_at is not None and started_at >= job.expires_at:
                outcomes.append(Cancelled(started_at, started_at, job.seq, job.claim_number, EXPIRED))
                continue
            context = self._context(job, self._tasks[job.function], None, None)
            try:
                if self._hooks.on_start is not None:
                    self._call_hook(self._hooks.on_start, context)
                ready.append((job, BatchedJob(context, *self._arguments(job))))
            except BaseException as error:  # noqa: BLE001 - it fails alone
                outcomes.append(self._end_of_one(context, job, started_at, error))
        if ready:
            results = self._call_batch(function, [one for _, one in ready])
            outcomes += [
                self._end_of_one(one.job, job, started_at, result) for (job, one), result in zip(ready, results)
            ]
        return outcomes

    def _call_batch(self, function: Callable[..., Any], jobs: List[BatchedJob]) -> Sequence[Any]:
        try:
            value = function(jobs)
            if asyncio.iscoroutine(value):
                value = self._run_on_loop(value)
            return results_of(value, len(jobs))
        except BaseException as error:  # noqa: BLE001 - nothing that a job raises may reach the loop
            return [error] * len(jobs)

    def _end_of_one(self, context: JobContext, job: ClaimedJob, started_at: int, result: Any) -> Outcome:
        outcome: Outcome
        if isinstance(result, BaseException):
            outcome = self._not_completed(context, job, Stop(), started_at, result)
        else:
            try:
                outcome = self._completed(context, job, started_at, result)
            except BaseException as error:  # noqa: BLE001 - a result that cannot be encoded
                outcome = self._not_completed(context, job, Stop(), started_at, error)
        if self._hooks.on_end is not None:
            self._end(self._hooks.on_end, context)
        end_try(context)
        return outcome

    def timeout_of(self, job: ClaimedJob) -> Optional[float]:
        """Return the seconds that a try of this job may take, or None."""
        if job.timeout is not None:
            return job.timeout / SECOND
        return self._tasks[job.function].timeout

    def settle_stopped(self, job: ClaimedJob, stop: Stop, started_at: int, trace: str = "") -> Outcome:
        """Return the outcome of a job that was stopped and did not complete."""
        ended = (started_at, self._now(), job.seq, job.claim_number)
        if stop.cause is StopCause.CANCEL:
            return Cancelled(*ended, stop.reason or "")
        if stop.cause is StopCause.TIMEOUT:
            error = JobTimeoutError(self.timeout_of(job) or 0)
            report = FailureReport(job.tries, type(error).__name__, str(error), trace)
            return self._retried_or_failed(job, ended, error, report)
        return Returned(job.seq, job.claim_number)

    def context_of(self, job: ClaimedJob) -> JobContext:
        """Return the context of a job, which another worker may have run, with a function that is not known here."""
        task = self._tasks.get(job.function)
        if task is None:
            return JobContext(job, job.max_tries or 1, self._state)
        return self._context(job, task, None, None)

    def _capture(self, job: ClaimedJob) -> Optional[Capture]:
        return None if self._notebook is None else Capture(job, self._notebook)

    def _context(
        self, job: ClaimedJob, task: RegisteredTask, capture: Optional[Capture], stop: Optional[Stop]
    ) -> JobContext:
        max_tries = task.retry.max_tries if job.max_tries is None else job.max_tries
        return JobContext(job, max_tries, self._state, self._notebook, capture, stop, self._open_transaction)

    def _arguments(self, job: ClaimedJob) -> Tuple[Any, Mapping[str, Any]]:
        try:
            args, kwargs = self._codecs.decode(job.codec, job.args, job.function, job.id)
        except (TypeError, ValueError) as error:
            # DecodeError is a ValueError; the others: bytes that decode to something else than arguments.
            if not isinstance(error, DecodeError):
                error = DecodeError(f"the arguments of {job.function} are not arguments: {error}")
            raise _FinalError(error) from None
        return args, kwargs

    def _completed(
        self, context: JobContext, job: ClaimedJob, started_at: int, value: Any
    ) -> Union[Completed, Committed]:
        encoder = self._codecs.encoder
        try:
            encoded = self._codecs.encode(value, job.function, job.id, "result")
            if len(encoded) > self._options.max_payload:
                raise PayloadTooLargeError(f"the result of {job.function}", len(encoded), self._options.max_payload)
        except EncodeError as error:
            # The function has done its work: doing it again would not make the result encodable.
            raise _FinalError(error) from None
        previews = self._options.previews
        preview = None if previews is None else previews.of_result(job.function, value)
        completed = Completed(started_at, self._now(), job.seq, job.claim_number, encoder.name, encoded, preview)
        transaction = transaction_of(context)
        return completed if transaction is None else transaction.complete(completed)

    def _not_completed(
        self, context: JobContext, job: ClaimedJob, stop: Stop, started_at: int, error: BaseException
    ) -> Outcome:
        transaction = transaction_of(context)
        try:
            if transaction is not None:
                transaction.close()
                if transaction.committed is not None:  # it was told to stop a moment too late
                    return transaction.committed
            return self._outcome_of(job, stop, started_at, error)
        except BaseException as second:  # noqa: BLE001 - a user's own Retry may lack its delay
            return Failed(started_at, self._now(), job.seq, job.claim_number, report_failure(second, job.tries))

    def _outcome_of(self, job: ClaimedJob, stop: Stop, started_at: int, error: BaseException) -> Outcome:
        if stop.cause is not None:
            return self.settle_stopped(job, stop, started_at, report_failure(error, job.tries, own_frames=1).traceback)
        ended = (started_at, self._now(), job.seq, job.claim_number)
        if isinstance(error, _FinalError):
            return Failed(*ended, report_failure(error.cause, job.tries, own_frames=_ALL_FRAMES))
        if isinstance(error, Cancel):
            return Cancelled(*ended, clean_text(error.reason))
        if isinstance(error, Snooze):
            return Snoozed(*ended, ended[1] + round(error.delay * SECOND))
        return self._retried_or_failed(job, ended, error, report_failure(error, job.tries, own_frames=1))

    def _retried_or_failed(
        self, job: ClaimedJob, ended: Tuple[int, int, int, int], error: BaseException, report: FailureReport
    ) -> Outcome:
        delay = self._tasks[job.function].retry.delay_after(error, job.tries, job.max_tries)
        if delay is None:
            return Failed(*ended, report)
        return Retried(*ended, report, ended[1] + round(delay * SECOND))

    def _call_hook(self, hook: Callable[[JobContext], Any], context: JobContext) -> None:
        if runs_as_coroutine(hook):
            self._run_on_loop(hook(context))
        else:
            hook(context)

    def _end(self, hook: Callable[[JobContext], Any], context: JobContext) -> None:
        try:
            self._call_hook(hook, context)
        except BaseException:
            _logger.exception("on_job_end failed for %r", context)


class _FinalError(Exception):
    """A failure of the job's surroundings that no further try can mend."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause


# More frames than any traceback of ours has: the user's code was not on the stack.
_ALL_FRAMES = 1000


async def _await_hook(hook: Callable[[JobContext], Any], context: JobContext) -> None:
    found = hook(context)
    if asyncio.iscoroutine(found):
        await found
