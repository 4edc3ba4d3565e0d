"""Call functions that take many jobs at once, and hand every other job to another executor."""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable, Deque, List, Mapping, Optional, Sequence

from sqlite_job.core.batches import Batch
from sqlite_job.core.clock import elapsed
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.outcomes import Outcome
from sqlite_job.core.stopping import StopCause
from sqlite_job.engine.executors import Executor, Report

# As for other threads: one that is stuck in a call is left behind.
_JOIN_SECONDS = 0.5

RunBatch = Callable[[Sequence[ClaimedJob]], List[Outcome]]


class BatchExecutor(Executor):
    """Gathers the jobs of one function, and calls it with them in a thread of its own, one call at a time."""

    def __init__(self, run: RunBatch, report: Report, batch: Batch, name: str) -> None:
        """Run batches with `run`, which never raises, and hand each outcome to `report`."""
        self._run = run
        self._report = report
        self._batch = batch
        self._name = name
        self._changed = threading.Condition()
        self._waiting: Deque[ClaimedJob] = deque()
        self._since = 0.0
        self._is_closed = False
        self._thread: Optional[threading.Thread] = None

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Take jobs, to be called with others."""
        with self._changed:
            if not self._waiting:
                self._since = elapsed()
            self._waiting.extend(jobs)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"sqlite-job-batch-{self._name}", daemon=True)
                self._thread.start()
            self._changed.notify()

    def take_back(self) -> List[ClaimedJob]:
        """Return the jobs that are being gathered."""
        with self._changed:
            unstarted = list(self._waiting)
            self._waiting.clear()
            return unstarted

    def stop(self, seq: int, cause: StopCause, reason: Optional[str] = None) -> bool:
        """Stop nothing: a call belongs to all of its jobs."""
        del seq, cause, reason
        return False

    def interrupt(self) -> None:
        """Stop nothing; a call that goes on for too long is left behind."""

    def close(self) -> None:
        """End the thread, if it is free."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    def _work(self) -> None:
        while True:
            jobs = self._gather()
            if self._is_closed:
                return
            if jobs:
                for outcome in self._run(jobs):
                    self._report(outcome)

    def _gather(self) -> List[ClaimedJob]:
        """Return a batch once it is full, or its first job has waited long enough; none when they were taken back."""
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            while 0 < len(self._waiting) < self._batch.size and not self._is_closed:
                left = self._since + self._batch.within - elapsed()
                if left <= 0:
                    break
                self._changed.wait(left)
            size = min(self._batch.size, len(self._waiting))
            self._since = elapsed()
            return [self._waiting.popleft() for _ in range(size)]


class BatchesApart(Executor):
    """Hands the jobs of batch functions to their executors, and all others to one for them."""

    def __init__(self, batches: Mapping[str, Executor], others: Optional[Executor]) -> None:
        """Take an executor for each batch function; `others` is None where there is no other function."""
        self._batches = batches
        self._others = others

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Take jobs."""
        others = []
        for job in jobs:
            executor = self._batches.get(job.function)
            if executor is None:
                others.append(job)
            else:
                executor.submit((job,))
        if others and self._others is not None:
            self._others.submit(others)

    def take_back(self) -> List[ClaimedJob]:
        """Return the jobs that have not started."""
        return [job for executor in self._all() for job in executor.take_back()]

    def stop(self, seq: int, cause: StopCause, reason: Optional[str] = None) -> bool:
        """Make one running job end soon; False when it does not run here, or is one of a batch."""
        return any(executor.stop(seq, cause, reason) for executor in self._all())

    def interrupt(self) -> None:
        """Make all running jobs end soon that can be stopped."""
        for executor in self._all():
            executor.interrupt()

    def close(self) -> None:
        """Do nothing more: whoever made the executors closes them."""

    def _all(self) -> List[Executor]:
        return [*self._batches.values(), *([] if self._others is None else [self._others])]
