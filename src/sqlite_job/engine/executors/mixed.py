"""Let executors of several kinds share the slots of one worker, and hold in one place what has not started."""

from __future__ import annotations

import threading
from collections import deque
from typing import Deque, List, Mapping, Optional, Sequence

from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.outcomes import Outcome
from sqlite_job.core.stopping import StopCause
from sqlite_job.engine.executors import Executor, Report


class MixedExecutor(Executor):
    """Hands jobs to the executor of their function, in order, as slots become free."""

    def __init__(self, report: Report, slots: int) -> None:
        """Run at most `slots` jobs at once in all; the executors must report through `ended`."""
        self._report = report
        self._free = slots
        self._lock = threading.Lock()
        self._waiting: Deque[ClaimedJob] = deque()
        self._by_function: Mapping[str, Executor] = {}

    def assign(self, by_function: Mapping[str, Executor]) -> None:
        """Give each function its executor; before the first job."""
        self._by_function = by_function

    def ended(self, outcome: Outcome) -> None:
        """Report an outcome, and give its slot to the next job."""
        self._report(outcome)
        with self._lock:
            self._free += 1
            self._hand_out()

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Take jobs, to be started in this order."""
        with self._lock:
            self._waiting.extend(jobs)
            self._hand_out()

    def take_back(self) -> List[ClaimedJob]:
        """Return the jobs that have not started."""
        with self._lock:
            unstarted = list(self._waiting)
            self._waiting.clear()
        for executor in self._executors():
            # Handed out and not yet begun: each of them held a slot.
            handed_out = executor.take_back()
            unstarted += handed_out
            with self._lock:
                self._free += len(handed_out)
        return unstarted

    def stop(self, seq: int, cause: StopCause, reason: Optional[str] = None) -> bool:
        """Make one running job end soon; False when it does not run here."""
        return any(executor.stop(seq, cause, reason) for executor in self._executors())

    def interrupt(self) -> None:
        """Make all running jobs end soon."""
        for executor in self._executors():
            executor.interrupt()

    def close(self) -> None:
        """Do nothing more: whoever made the executors closes them."""

    def _hand_out(self) -> None:
        while self._free > 0 and self._waiting:
            job = self._waiting.popleft()
            self._free -= 1
            self._by_function[job.function].submit((job,))

    def _executors(self) -> List[Executor]:
        return list({id(executor): executor for executor in self._by_function.values()}.values())
