"""Hold what jobs share that run inside of one block: state, hooks, an event loop, and a limit to how many they are."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Awaitable, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

from sqlite_job.core.errors import JobFailedError, SQLiteJobError
from sqlite_job.core.jobs import JobFailure, JobInfo
from sqlite_job.engine.executors.coroutines import EventLoopThread
from sqlite_job.engine.hooks import Hooks
from sqlite_job.inspection import Inspector
from sqlite_job.settings import WorkerSettings

T = TypeVar("T")

_MOST_NAMED = 5

# Each level of jobs that `inline` runs inside of one another may hold one of them, when they use `aenqueue`.
_LOOP_THREADS = 64

# Whether the loop of the workplace waits for what runs here.
_is_loop_blocked: contextvars.ContextVar[bool] = contextvars.ContextVar("sqlite_job_loop_blocked", default=False)


class TooManyJobsError(SQLiteJobError):
    """More jobs ran than a test can mean: most likely jobs that enqueue jobs, without an end."""

    def __init__(self, problem: str, functions: Mapping[str, int]) -> None:
        """Keep how many jobs of each function ran."""
        self.functions = dict(functions)
        ran = ", ".join(f"{name} ({count:,})" for name, count in Counter(self.functions).most_common(_MOST_NAMED))
        super().__init__(f"{problem}; does a job enqueue itself, or snooze for ever? There ran, by function: {ran}")


class Workplace:
    """The worker's state and hooks, an event loop, and what the jobs raised; they run inside of its `with` block."""

    def __init__(self, settings: WorkerSettings, max_jobs: int) -> None:
        """Prepare for jobs of these settings; nothing is called before the block is entered."""
        self.settings = settings
        self.inspector = Inspector(settings.location)
        self.loop = LoopBeside()
        self.hooks = Hooks(settings.hooks, lambda: self.loop)
        self.errors: Dict[str, BaseException] = {}
        self._max_jobs = max_jobs
        self._functions: Counter[str] = Counter()
        self._problem: Optional[str] = None
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

    def queues(self) -> Tuple[str, ...]:
        """Return all queues of the database that have jobs, and "default"."""
        return tuple(sorted({"default", *self.inspector.queues()}))

    def count(self, function: str) -> None:
        """Count a run; raises TooManyJobsError when it is one too many."""
        if self._problem is None and sum(self._functions.values()) >= self._max_jobs:
            self._problem = f"max_jobs={self._max_jobs:,} jobs have run, and more are ready"
        if self._problem is not None:
            raise TooManyJobsError(self._problem, self._functions)
        self._functions[function] += 1

    def give_up(self, problem: str) -> TooManyJobsError:
        """Let nothing run any more, and return the error to raise."""
        self._problem = problem
        return TooManyJobsError(problem, self._functions)

    def count_anew(self) -> None:
        """Let as many jobs run as at the beginning."""
        self._functions.clear()
        self._problem = None

    def error_of(self, job: JobInfo, failures: Sequence[JobFailure]) -> JobFailedError:
        """Return what to raise for a job whose last try failed, caused by what that try raised."""
        if not failures:
            return JobFailedError(job.id, "Unknown", job.error or "", "")
        last = failures[-1]
        error = JobFailedError(job.id, last.error_type, last.message, last.traceback)
        error.__cause__ = self.errors.get(job.id)
        return error


class LoopBeside:
    """An event loop in a thread of its own, made when first needed.

    A coroutine that makes a job run, by `enqueue` or `drain`, blocks its loop meanwhile: that job gets another one.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._lock = threading.Lock()
        self._thread: Optional[EventLoopThread] = None

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Await something, and return its value."""
        if not self._is_blocked():
            with self._lock:
                self._thread = self._thread or _start_loop()
            return self._thread.run(awaitable)
        other = _start_loop()
        try:
            return other.run(_with_loop_blocked(awaitable))
        finally:
            other.close()

    def call_outside(self, work: Callable[[], T]) -> T:
        """Call `work` here, or in another thread when this one runs an event loop: a job may call asyncio.run."""
        if _running_loop() is None:
            return work()
        context = contextvars.copy_context()
        if self._is_blocked():
            context.run(_is_loop_blocked.set, True)  # noqa: FBT003 - the value of a variable
        values: List[T] = []
        thread = threading.Thread(
            target=lambda: values.append(context.run(work)), name="sqlite-job-inline", daemon=True
        )
        thread.start()
        thread.join()
        return values[0]

    def close(self) -> None:
        """End the thread, if there is one."""
        if self._thread is not None:
            self._thread.close()

    def _is_blocked(self) -> bool:
        return _is_loop_blocked.get() or (self._thread is not None and _running_loop() is self._thread.loop)


async def _with_loop_blocked(awaitable: Awaitable[Any]) -> Any:
    _is_loop_blocked.set(True)  # in the context of this task alone
    return await awaitable


def _start_loop() -> EventLoopThread:
    thread = EventLoopThread()
    executor = ThreadPoolExecutor(_LOOP_THREADS, "sqlite-job-loop")
    thread.loop.call_soon_threadsafe(thread.loop.set_default_executor, executor)
    return thread


def _running_loop() -> Optional[asyncio.AbstractEventLoop]:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
