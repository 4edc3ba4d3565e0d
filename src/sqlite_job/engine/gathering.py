"""Let short jobs end, one after the other, before the loop's next turn, as long as that is the quickest way.

Threads of one interpreter run one at a time. A turn beside running jobs takes the interpreter from them and loses it
again with each of its statements; a job hands it to the next thread with each of its system calls. With one write to a
file in each job, a third of the CPU went into that.
"""

from __future__ import annotations

from typing import Callable, Optional, Sequence

from sqlite_job.core.clock import cpu_seconds, elapsed
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.engine.executors import Executor
from sqlite_job.engine.outbox import Outbox
from sqlite_job.storage.interface import CommitWatcher

# So long a job may wait behind another one for nothing, and so much later results are on record. What is claimed ahead
# at most is done within it if a job takes 40 us.
_LONGEST_SECONDS = 0.02

# With less CPU in the time of a wait, the jobs were waiting themselves: they would have been done sooner side by side.
# On a busy machine a job that needs nothing but the CPU gets a part of one.
_BUSY = 0.3

# Until it is tried again: the jobs may have become others.
_TURNS_WITHOUT = 50


class Gathering:
    """Hands out what was claimed, and waits for the outcomes of what was claimed ahead."""

    def __init__(self, outbox: Outbox, watcher: CommitWatcher) -> None:
        """Wait by `watcher` for what comes to `outbox`."""
        self._outbox = outbox
        self._watcher = watcher
        self._turns_without = 0
        self._executor: Optional[Executor] = None
        self._count = 0

    def submit(self, executor: Executor, jobs: Sequence[ClaimedJob], count: int, seconds: float) -> None:
        """Give jobs to an executor; if `count` outcomes may be expected within `seconds`, `wait` waits for them."""
        if count <= 0 or seconds > _LONGEST_SECONDS:
            executor.submit(jobs)
        elif self._turns_without:
            self._turns_without -= 1
            executor.submit(jobs)
        else:
            executor.submit_together(jobs)
            self._executor, self._count = executor, count

    def wait(self, is_over: Callable[[], bool]) -> None:
        """Return when the outcomes are there, after 20 ms, or as soon as `is_over` and the watcher is interrupted.

        When this process has used less than a third of a CPU in that time, the next waits are left out.
        """
        if self._executor is None:
            return
        began, used = elapsed(), cpu_seconds()
        deadline = began + _LONGEST_SECONDS
        while not is_over() and elapsed() < deadline and self._outbox.await_next(self._count):
            self._watcher.wait(deadline - elapsed(), ignore_commits=True)
        self._outbox.stop_awaiting()
        self.spread()
        if cpu_seconds() - used < _BUSY * (elapsed() - began):
            self._turns_without = _TURNS_WITHOUT

    def spread(self) -> None:
        """Let no job wait for another one any more, as long as there are slots."""
        if self._executor is not None:
            self._executor.spread()
            self._executor = None
