"""Let short jobs end, one after the other, before the loop's next turn, as long as that is the quickest way.

Threads of one interpreter run one at a time. A turn beside running jobs takes the interpreter from them and loses it
again with each of its statements, and who else wants to write to the file waits for the turn; a job hands the
interpreter to the next thread with each of its system calls. With one write to a file in each job, a third of the CPU
went into that.
"""

from __future__ import annotations

from typing import Callable, Optional, Sequence

from sqlite_job.core.clock import cpu_seconds, elapsed
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.engine.executors import Executor
from sqlite_job.engine.outbox import Outbox
from sqlite_job.storage.interface import CommitWatcher

# So long a job may wait behind another one for nothing, and so much later results are on record. Half as long again as
# what is claimed for it should take (`ahead.py`).
_LONGEST_SECONDS = 0.03

# With less CPU in the time of a wait, the jobs were waiting themselves: they would have been done sooner side by side.
# On a busy machine a job that needs nothing but the CPU gets a part of one.
_BUSY = 0.3

# A commit that takes no longer than this is quick enough for nobody to run meanwhile.
_QUICK_SECONDS = 0.005

# So many slow commits in a row are no accident.
_SLOW_COMMITS = 3

# Until it is tried again: the jobs may have become others.
_PAUSE_SECONDS = 5.0


class Gathering:
    """Hands out what was claimed, and waits for the outcomes of what was claimed ahead."""

    def __init__(self, outbox: Outbox, watcher: CommitWatcher) -> None:
        """Wait by `watcher` for what comes to `outbox`."""
        self._outbox = outbox
        self._watcher = watcher
        self._resumes_at = 0.0
        self._was_calm = False
        self._slow_commits = 0
        self._executor: Optional[Executor] = None
        self._count = 0
        self.has_waited = False

    @property
    def is_on(self) -> bool:
        """Whether jobs that are short enough will run one after the other."""
        return elapsed() >= self._resumes_at

    def submit(self, executor: Executor, jobs: Sequence[ClaimedJob], *, in_turn: bool, seconds: float) -> None:
        """Give jobs to an executor; `in_turn`, and if `seconds` is how long they will take, `wait` waits for them."""
        if in_turn and seconds <= _LONGEST_SECONDS and self.is_on:
            executor.submit_together(jobs)
            self._executor, self._count = executor, len(jobs)
        else:
            executor.submit(jobs)

    def wait(self, is_over: Callable[[], bool], commit_seconds: float) -> None:
        """Return when the outcomes are there, after 30 ms, or as soon as `is_over` and the watcher is interrupted.

        The next waits are left out when this process has used less than a third of a CPU in that time, or when the
        commits before the last ones, of `commit_seconds`, took longer: jobs could have run meanwhile.
        """
        self.has_waited = self._executor is not None
        if not self.has_waited:
            self._was_calm = False
            return
        began, used = elapsed(), cpu_seconds()
        deadline = began + _LONGEST_SECONDS
        while not is_over() and elapsed() < deadline and self._outbox.await_next(self._count):
            self._watcher.wait(deadline - elapsed(), ignore_commits=True)
        self._outbox.stop_awaiting()
        self.spread()
        waited = elapsed() - began
        is_idle = cpu_seconds() - used < _BUSY * waited
        # Beside running jobs a commit waits for them, too.
        is_slow = self._was_calm and commit_seconds > max(waited, _QUICK_SECONDS)
        self._was_calm = waited < _LONGEST_SECONDS
        self._slow_commits = self._slow_commits + 1 if is_slow else 0
        if is_idle or self._slow_commits >= _SLOW_COMMITS:
            self._slow_commits = 0
            self._resumes_at = elapsed() + _PAUSE_SECONDS

    def spread(self) -> None:
        """Let no job wait for another one any more, as long as there are slots."""
        if self._executor is not None:
            self._executor.spread()
            self._executor = None
