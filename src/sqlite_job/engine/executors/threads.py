"""Run plain functions in threads of this process."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import Callable, List, Optional, Sequence

from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.outcomes import Outcome
from sqlite_job.engine.executors import Report

# A thread whose job has ended needs microseconds to leave; one that is stuck in a job is left behind.
_JOIN_SECONDS = 0.5


class ThreadExecutor:
    """A fixed number of threads that share one inbox; they start with the first job."""

    def __init__(self, run: Callable[[ClaimedJob], Outcome], report: Report, slots: int) -> None:
        """Run jobs with `run`, which never raises, and hand each outcome to `report`."""
        self._run = run
        self._report = report
        self._slots = slots
        self._inbox: SimpleQueue[Optional[ClaimedJob]] = SimpleQueue()
        self._threads: List[threading.Thread] = []

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Take jobs, to be started in this order."""
        if not self._threads:
            self._start()
        put = self._inbox.put
        for job in jobs:
            put(job)

    def take_back(self) -> List[ClaimedJob]:
        """Return the jobs that have not started."""
        unstarted: List[ClaimedJob] = []
        while True:
            try:
                job = self._inbox.get_nowait()
            except Empty:
                return unstarted
            if job is not None:
                unstarted.append(job)

    def interrupt(self) -> None:
        """Do nothing: a thread cannot be told to end from outside."""

    def close(self) -> None:
        """End the threads that are free."""
        for _ in self._threads:
            self._inbox.put(None)
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)
        self._threads = []

    def _start(self) -> None:
        for number in range(self._slots):
            # Daemons: a job that never ends must not keep the process from ending.
            thread = threading.Thread(target=self._work, name=f"sqlite-job-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _work(self) -> None:
        take, run, report = self._inbox.get, self._run, self._report
        while True:
            job = take()
            if job is None:
                return
            report(run(job))
