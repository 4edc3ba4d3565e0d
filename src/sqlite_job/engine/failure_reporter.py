"""Call `on_failure` for each job that has failed for good: after the commit, in a thread of its own."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import threading
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Awaitable, Callable, Iterator, Mapping, NamedTuple, Optional, Union

from sqlite_job.core.clock import to_datetime
from sqlite_job.core.context import JobContext, enter_job, leave_job
from sqlite_job.core.events import Event, JobsRescued, JobsSettled
from sqlite_job.core.jobs import ClaimedJob, JobFailure, JobInfo
from sqlite_job.core.outcomes import Died, Failed
from sqlite_job.storage.interface import Storage

_logger = logging.getLogger("sqlite_job")

FailureHook = Callable[[JobContext, JobFailure], Any]

# A failure takes some kilobytes, at most 50. A hook that is slower than the jobs fail must not fill the memory.
_MOST_WAITING = 10_000


class FailureHooks(NamedTuple):
    """The hook of each function that has one, and the one of all others."""

    by_function: Mapping[str, Optional[FailureHook]]
    default: Optional[FailureHook]


class FailureReporter:
    """A subscriber that notes failures, and a thread that tells the hooks of them, one after the other.

    A hook is called at most once for a failure: what is not yet told when the process dies is lost, and so is what
    comes while 10,000 others wait.
    """

    def __init__(
        self,
        hooks: FailureHooks,
        *,
        context_of: Callable[[ClaimedJob], JobContext],
        storage: Storage,
        run_on_loop: Callable[[Awaitable[Any]], Any],
    ) -> None:
        """Call hooks with what `context_of` makes of a job; `storage` knows the jobs that others ran."""
        self._hooks = hooks
        self._context_of = context_of
        self._storage = storage
        self._run_on_loop = run_on_loop
        self._waiting: SimpleQueue[Optional[Callable[[], None]]] = SimpleQueue()
        # Both can be told from a signal handler, which may have interrupted the very thread that waits for it.
        self._ended: SimpleQueue[None] = SimpleQueue()
        self._thread: Optional[threading.Thread] = None
        self._is_over = False
        self._dropped = 0

    def __call__(self, event: Event) -> None:
        """Note the final failures among what happened."""
        if isinstance(event, JobsSettled):
            for job, outcome in event.settled:
                if type(outcome) is Failed or (type(outcome) is Died and outcome.is_final):
                    self._note(job.function, partial(self._tell_settled, job, outcome))
        elif isinstance(event, JobsRescued):
            for rescued in event.jobs:
                if rescued.is_final:
                    self._note(rescued.function, partial(self._tell_rescued, rescued.id))

    def close(self, seconds: float) -> None:
        """Wait until all hooks were called, at most so long; then call none any more."""
        if self._thread is None:
            return
        self._waiting.put(None)
        with contextlib.suppress(Empty):
            self._ended.get(timeout=seconds)
        self._is_over = True
        self._dropped += sum(one is not None for one in _all_of(self._waiting))
        self._waiting.put(None)  # the first one may have been among them
        if self._dropped:
            _logger.error("on_failure was not called for %d failed jobs: it took too long", self._dropped)

    def hurry(self) -> None:
        """Make `close` wait no longer; safe from any thread and from a signal handler."""
        self._ended.put(None)

    def _note(self, function: str, tell: Callable[[], None]) -> None:
        if self._hooks.by_function.get(function, self._hooks.default) is None:
            return
        if self._waiting.qsize() >= _MOST_WAITING:
            if not self._dropped:
                _logger.error("on_failure is too slow: it is left out while %d failures wait for it", _MOST_WAITING)
            self._dropped += 1
            return
        self._waiting.put(tell)
        if self._thread is None:
            # A daemon: a hook that never ends must not keep the process from ending.
            self._thread = threading.Thread(target=self._work, name="sqlite-job-on-failure", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while not self._is_over:
            tell = self._waiting.get()
            if tell is None:
                break
            try:
                tell()
            except BaseException:
                _logger.exception("on_failure could not be called")
        self._ended.put(None)

    def _tell_settled(self, job: ClaimedJob, outcome: Union[Failed, Died]) -> None:
        started_at, finished_at = to_datetime(outcome.started_at), to_datetime(outcome.finished_at)
        self._tell(job, JobFailure(*outcome.failure, started_at=started_at, finished_at=finished_at))

    def _tell_rescued(self, job_id: str) -> None:
        info, failures = self._storage.get(job_id), self._storage.failures(job_id)
        if info is not None and failures:  # not deleted meanwhile
            self._tell(_as_claimed(info), failures[-1])

    def _tell(self, job: ClaimedJob, failure: JobFailure) -> None:
        hook = self._hooks.by_function.get(job.function, self._hooks.default)
        assert hook is not None  # noqa: S101 - or it would not have been noted
        context = self._context_of(job)
        token = enter_job(context)
        try:
            found = hook(context, failure)
            if inspect.isawaitable(found):
                self._run_on_loop(found)
        except BaseException:
            _logger.exception("on_failure failed for %r", context)
        finally:
            leave_job(token)


def _as_claimed(info: JobInfo) -> ClaimedJob:
    """Return a job that another worker held, as that worker saw it; its arguments are of no interest here."""
    return ClaimedJob(
        seq=info.cursor,
        claim_number=0,
        tries=info.tries,
        id=info.id,
        queue=info.queue,
        function=info.function,
        max_tries=info.max_tries,
        timeout=None,
        deaths=info.deaths,
        expires_at=None,
        codec="",
        args=b"",
        tags=json.dumps(info.tags),
        meta=json.dumps(info.meta),
    )


def _all_of(queue: SimpleQueue[Any]) -> Iterator[Any]:
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return
