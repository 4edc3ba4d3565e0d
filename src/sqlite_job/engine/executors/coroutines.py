"""Run coroutine functions on an event loop in a thread of its own, shared with asynchronous hooks."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import Any, Awaitable, Callable, Coroutine, Deque, Dict, List, Optional, Sequence, Tuple

from sqlite_job.core.clock import Clock
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.outcomes import Outcome
from sqlite_job.core.stopping import GRACE_SECONDS, Stop, StopCause
from sqlite_job.engine.executors import Executor, Report

_logger = logging.getLogger("sqlite_job")

RunAsync = Callable[[ClaimedJob, Stop], Coroutine[Any, Any, Outcome]]


class EventLoopThread:
    """An event loop that runs in a daemon thread until closed."""

    def __init__(self) -> None:
        """Start the thread."""
        self.loop = asyncio.new_event_loop()
        self._is_closing = False
        self._thread = threading.Thread(target=self._serve, name="sqlite-job-loop", daemon=True)
        self._thread.start()

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Await something on the loop from another thread, and return its value."""
        value, error = asyncio.run_coroutine_threadsafe(_capture(awaitable), self.loop).result()
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """Cancel what still runs, and end the thread; one whose loop is blocked by a job is abandoned."""
        self._is_closing = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(GRACE_SECONDS + 1)

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._is_closing:
            # A task of a job's own that exits ends run_forever, and so does a job that stops the loop.
            try:
                self.loop.run_forever()
            except BaseException:
                _logger.exception("A task or callback ended the event loop of this worker; it goes on")
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left, timeout=GRACE_SECONDS))
        for task in left:
            # Those that swallow their cancellation were reported already, when they were left behind.
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio has no other door
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


class CoroutineExecutor(Executor):
    """Runs a bounded number of coroutines at once, each a task of the loop."""

    def __init__(
        self,
        run: RunAsync,
        report: Report,
        slots: int,
        thread: EventLoopThread,
        *,
        clock: Clock,
        settle_stopped: Callable[[ClaimedJob, Stop, int], Outcome],
        timeout_of: Callable[[ClaimedJob], Optional[float]],
    ) -> None:
        """Run jobs with `run`, which never raises, and hand each outcome to `report`.

        `settle_stopped` says what becomes of a job that did not end when it was told to.
        """
        self._run = run
        self._report = report
        self._slots = slots
        self._loop = thread.loop
        self._now = clock.now
        self._settle_stopped = settle_stopped
        self._timeout_of = timeout_of
        self._waiting: Deque[ClaimedJob] = deque()
        self._running: Dict[int, _Running] = {}

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

    def stop(self, seq: int, cause: StopCause, reason: Optional[str] = None) -> bool:
        """Cancel the job's task; False when it does not run here."""
        if seq not in self._running:
            return False
        self._loop.call_soon_threadsafe(self._stop, seq, cause, reason)
        return True

    def interrupt(self) -> None:
        """Cancel what runs."""
        for seq in list(self._running):
            self.stop(seq, StopCause.SHUTDOWN)

    def close(self) -> None:
        """Do nothing more: the loop's thread ends what is left."""

    def _fill(self) -> None:
        while len(self._running) < self._slots:
            try:
                job = self._waiting.popleft()
            except IndexError:
                return
            running = self._running[job.seq] = _Running(job, self._now())
            running.task = self._loop.create_task(self._run_one(running))

    async def _run_one(self, running: _Running) -> None:
        job = running.job
        timeout = self._timeout_of(job)
        timer = (
            None if timeout is None else self._loop.call_later(timeout, self._stop, job.seq, StopCause.TIMEOUT, None)
        )
        outcome = await self._run(job, running.stop)
        if timer is not None:
            timer.cancel()
        self._free(running, outcome)

    def _free(self, running: _Running, outcome: Outcome) -> None:
        # One that was left behind has been settled, and its slot given to another.
        if self._running.get(running.job.seq) is running:
            del self._running[running.job.seq]
            self._report(outcome)
            if self._waiting:
                self._fill()

    def _stop(self, seq: int, cause: StopCause, reason: Optional[str]) -> None:
        running = self._running.get(seq)
        if running is not None and running.task is not None and running.stop.set(cause, reason):
            running.task.cancel()
            self._loop.call_later(GRACE_SECONDS, self._leave_behind, running)

    def _leave_behind(self, running: _Running) -> None:
        self._free(running, self._settle_stopped(running.job, running.stop, running.started_at))


class _Running:
    """A job and its task."""

    __slots__ = ("job", "started_at", "stop", "task")

    def __init__(self, job: ClaimedJob, started_at: int) -> None:
        self.job = job
        self.started_at = started_at
        self.stop = Stop()
        self.task: Optional[asyncio.Task[None]] = None


async def _capture(awaitable: Awaitable[Any]) -> Tuple[Any, Optional[BaseException]]:
    # As a value: a SystemExit or KeyboardInterrupt that leaves a task ends its event loop.
    try:
        return await awaitable, None
    except BaseException as error:  # noqa: BLE001 - raised again where it was asked for
        return None, error
