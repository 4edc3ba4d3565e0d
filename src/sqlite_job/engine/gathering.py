"""Let the loop sleep while jobs are at work, and short ones run one after the other where that is the quickest way.

Threads of one interpreter run one at a time. A turn beside running jobs takes the interpreter from them and loses it
again with each of its statements, and who else wants to write to the file waits for the turn; a job hands the
interpreter to the next thread with each of its system calls. With one write to a file in each job, a third of the CPU
went into that.
"""

from __future__ import annotations

from typing import Callable, Optional, Sequence, Tuple

from sqlite_job.core.clock import cpu_seconds, elapsed
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.engine.executors import Executor
from sqlite_job.engine.options import EngineOptions
from sqlite_job.engine.outbox import Outbox
from sqlite_job.storage.interface import CommitWatcher, Storage

# So long a job may wait behind another one for nothing, and so much later results are on record. Half as long again as
# what is claimed for it should take (`ahead.py`).
_LONGEST_SECONDS = 0.03

# Where jobs run side by side, results are on record so much later at most, for fewer turns: half of what is held ahead
# keeps all slots at work meanwhile.
_LONGEST_BESIDE_SECONDS = 0.01

# Less CPU in the time of a wait: the jobs were waiting themselves, and would have been done sooner side by side.
_BUSY = 0.3

# If this process uses so many times more of the CPUs with jobs side by side, so many more are done: they do not need
# the interpreter all of the time. (A turn beside them, which has its own part in it, adds a tenth.)
_WORTH = 1.4

# How long jobs run in turn before both ways are compared.
_TRIAL_SECONDS = 0.1

# Of a wait, or a commit, that takes no longer than this, nobody can say much, and it costs little.
_QUICK_SECONDS = 0.005

# One hand (jobs that run in turn) that went wrong may be an accident.
_TOO_MANY = 2

# Until the other way is tried again: the jobs may have become others.
_PAUSE_SECONDS = 5.0


class Gathering:
    """Hands out what was claimed, and waits for its outcomes, or for some of them."""

    def __init__(self, outbox: Outbox, watcher: CommitWatcher, options: EngineOptions, storage: Storage) -> None:
        """Wait by `watcher` for what comes to `outbox`; for nothing where there are batches, which wait by themselves.

        Jobs run in turn only if an exchange is this process's own work, and not that of a server.
        """
        self._outbox = outbox
        self._watcher = watcher
        self._storage = storage
        self._slots = 0 if options.batches else options.slots
        self._resumes_at = 0.0 if self._slots and storage.works_in_process else float("inf")
        self._compares_at: Optional[float] = None
        self._compared: Optional[Tuple[float, float]] = None
        self._share = 1.0  # of a CPU, with jobs in turn
        self._was_calm = False
        self._wrong_hands = 0
        self._executor: Optional[Executor] = None
        self._count = 0
        # Whether the outcomes that are there are of jobs most of which have run one after the other.
        self.has_run_in_turn = False

    @property
    def is_on(self) -> bool:
        """Whether jobs that are short enough may run one after the other."""
        return elapsed() >= self._resumes_at

    def submit(self, executor: Executor, jobs: Sequence[ClaimedJob], held: int, seconds: float) -> None:
        """Give jobs that will take `seconds` to an executor; `held` are held in all.

        If they are more than there are slots, and short, they run one after the other, and `wait` waits for all of
        them; else for half of those that are held ahead.
        """
        self._compare()
        if len(jobs) > self._slots and seconds <= _LONGEST_SECONDS and self.is_on:
            now = elapsed()
            if self._compares_at is None:
                self._compares_at = now + _TRIAL_SECONDS
            if now < self._compares_at and executor.submit_in_turn(jobs):
                self._executor, self._count = executor, len(jobs)
                return
            self._compared = (now, cpu_seconds())
        executor.submit(jobs)
        self._count = (held - self._slots) // 2 if self._slots else 0

    def wait(self, is_over: Callable[[], bool]) -> None:
        """Return when the outcomes are there, after 30 ms (10 side by side), or when `is_over` and interrupted.

        No more jobs run in turn for a while when this process has used little CPU in that time, when they were not done
        in it, or when the commit before the last one took longer, so that jobs could have run meanwhile.
        """
        count, self._count = self._count, 0
        is_hand = self._executor is not None
        self.has_run_in_turn = is_hand
        if count > 0:
            began, used = elapsed(), cpu_seconds()
            deadline = began + (_LONGEST_SECONDS if is_hand else _LONGEST_BESIDE_SECONDS)
            while not is_over() and elapsed() < deadline and self._outbox.await_next(count):
                self._watcher.wait(max(deadline - elapsed(), 0), ignore_commits=True)
            self._outbox.stop_awaiting()
            if is_hand and not is_over():
                self._judge(elapsed() - began, cpu_seconds() - used)
        if not is_hand:
            self._was_calm = False
        self._executor = None

    def spread(self) -> None:
        """Let no job wait for another one any more, as long as there are slots."""
        if self._executor is not None:
            self._executor.spread()
        self.forget()

    def forget(self) -> None:
        """Wait for nothing: jobs were taken back."""
        self._executor = None
        self._count = 0

    def _compare(self) -> None:
        """Leave jobs side by side for a while if the last ones were sooner done so."""
        if self._compared is None:
            return
        began, used = self._compared
        self._compared = None
        now = elapsed()
        if cpu_seconds() - used > _WORTH * self._share * (now - began):
            self._resumes_at, self._compares_at = now + _PAUSE_SECONDS, None
        else:
            self._compares_at = now + _PAUSE_SECONDS

    def _judge(self, waited: float, used: float) -> None:
        is_late = waited >= _LONGEST_SECONDS
        self.spread()
        # Beside running jobs a commit waits for them, too.
        is_disk_slow = self._was_calm and self._storage.commit_seconds > max(waited, _QUICK_SECONDS)
        if waited > _QUICK_SECONDS:
            self._share = (self._share + used / waited) / 2
        is_idle = waited > _QUICK_SECONDS and used < _BUSY * waited
        self._was_calm = not is_late
        is_wrong = is_idle or is_late or is_disk_slow
        self._wrong_hands = self._wrong_hands + 1 if is_wrong else 0
        if self._wrong_hands >= _TOO_MANY:
            self._wrong_hands = 0
            self._resumes_at, self._compares_at = elapsed() + _PAUSE_SECONDS, None
