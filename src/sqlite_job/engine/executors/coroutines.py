"""Run coroutine functions on an event loop in a thread of its own, shared with asynchronous hooks."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any, Awaitable, Callable, Coroutine, Deque, List, Sequence, Set

from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.outcomes import Outcome
from sqlite_job.engine.executors import Report

RunAsync = Callable[[ClaimedJob, Callable[[], bool]], Coroutine[Any, Any, Outcome]]

# How long cancelled coroutines have to clean up before they are abandoned.
_GRACE_SECONDS = 2.0


class EventLoopThread:
    """An event loop that runs in a daemon thread until closed."""

    def __init__(self) -> None:
        """Start the thread."""
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="sqlite-job-loop", daemon=True)
        self._thread.start()

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Await something on the loop from another thread, and return its value."""
        return asyncio.run_coroutine_threadsafe(_as_coroutine(awaitable), self.loop).result()

    def close(self) -> None:
        """Cancel what still runs, and end the thread; one whose loop is blocked by a job is abandoned."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_GRACE_SECONDS + 1)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left, timeout=_GRACE_SECONDS))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


class CoroutineExecutor:
    """Runs a bounded number of coroutines at once, each a task of the loop."""

    def __init__(self, run: RunAsync, report: Report, slots: int, thread: EventLoopThread) -> None:
        """Run jobs with `run`, which never raises, and hand each outcome to `report`."""
        self._run = run
        self._report = report
        self._slots = slots
        self._loop = thread.loop
        self._waiting: Deque[ClaimedJob] = deque()
        self._running: Set[asyncio.Task[None]] = set()
        self._is_interrupted = False

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Take jobs, to be started in this order."""
        self._waiting.extend(jobs)
        self._loop.call_soon_threadsafe(self._fill)

    def take_back(self) -> List[ClaimedJob]:
        """Return the jobs that have not started."""
        unstarted: List[ClaimedJob] = []
        while True:
            try:
                unstarted.append(self._waiting.popleft())  # atomic: the loop takes from the same end
            except IndexError:
                return unstarted

    def interrupt(self) -> None:
        """Cancel what runs."""
        self._is_interrupted = True
        self._loop.call_soon_threadsafe(self._cancel_all)

    def close(self) -> None:
        """Do nothing more: the loop's thread ends what is left."""

    def _fill(self) -> None:
        while len(self._running) < self._slots:
            try:
                job = self._waiting.popleft()
            except IndexError:
                return
            task = self._loop.create_task(self._run_one(job))
            self._running.add(task)
            task.add_done_callback(self._free)

    async def _run_one(self, job: ClaimedJob) -> None:
        self._report(await self._run(job, self._was_interrupted))

    def _free(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._waiting:
            self._fill()

    def _was_interrupted(self) -> bool:
        return self._is_interrupted

    def _cancel_all(self) -> None:
        for task in list(self._running):
            task.cancel()


async def _as_coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
