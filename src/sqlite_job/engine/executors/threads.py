"""Run plain functions in threads of this process."""

from __future__ import annotations

import ctypes
import threading
from collections import deque
from functools import partial
from queue import Empty, SimpleQueue
from typing import Callable, Deque, Iterator, List, Optional, Sequence, Union

from sqlite_job.core.clock import Clock
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.outcomes import Outcome
from sqlite_job.core.stopping import GRACE_SECONDS, Stop, StopCause, StopRequested
from sqlite_job.engine.executors import Executor, Report

# A thread whose job has ended needs microseconds to leave; one that is stuck in a job is left behind.
_JOIN_SECONDS = 0.5

# Jobs for one thread.
_Hand = Deque[ClaimedJob]

Run = Callable[[ClaimedJob, Stop], Outcome]
SettleStopped = Callable[[ClaimedJob, Stop, int], Outcome]


class ThreadExecutor(Executor):
    """A fixed number of threads that share one inbox; they start with the first job."""

    def __init__(
        self,
        run: Run,
        report: Report,
        slots: int,
        *,
        clock: Clock,
        settle_stopped: SettleStopped,
        timeout_of: Optional[Callable[[ClaimedJob], Optional[float]]],
        on_stuck: Callable[[ClaimedJob], None],
    ) -> None:
        """Run jobs with `run`, which never raises, and hand each outcome to `report`.

        `settle_stopped` says what becomes of a job that did not end when it was told to, and `on_stuck` is told of it.
        `timeout_of` is None where no function has a time limit, for speed.
        """
        self._run = run
        self._report = report
        self._slots = slots
        self._now = clock.now
        self._settle_stopped = settle_stopped
        self._timeout_of = timeout_of
        self._on_stuck = on_stuck
        self._inbox: SimpleQueue[Union[ClaimedJob, _Hand, None]] = SimpleQueue()
        self._hand: _Hand = deque()
        self._threads: List[_SlotThread] = []

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Take jobs, to be started in this order."""
        self._start_threads()
        put = self._inbox.put
        for job in jobs:
            put(job)

    def submit_in_turn(self, jobs: Sequence[ClaimedJob]) -> bool:
        """Give short jobs to one thread: each system call of a job would wake the next one."""
        self.spread()
        self._start_threads()
        self._hand = deque(jobs)
        self._inbox.put(self._hand)
        return True

    def spread(self) -> None:
        """Give what that thread has not started to all."""
        unstarted = list(_taken_from(self._hand))
        if unstarted:
            self.submit(unstarted)

    def take_back(self) -> List[ClaimedJob]:
        """Return the jobs that have not started."""
        unstarted: List[ClaimedJob] = []
        while True:
            try:
                item = self._inbox.get_nowait()
            except Empty:
                return [*unstarted, *_taken_from(self._hand)]
            if isinstance(item, ClaimedJob):
                unstarted.append(item)

    def stop(self, seq: int, cause: StopCause, reason: Optional[str] = None) -> bool:
        """Raise StopRequested in the thread that runs the job; False when it does not run here."""
        for slot in self._threads:
            job = slot.job
            if job is not None and job.seq == seq:
                with slot.lock:
                    if slot.job is job and slot.stop.set(cause, reason):
                        slot.raise_in_job()
                        _later(GRACE_SECONDS, partial(self._leave_behind, slot, job))
                return True
        return False

    def interrupt(self) -> None:
        """Raise StopRequested in all threads that run jobs."""
        for slot in self._threads:
            job = slot.job
            if job is not None:
                self.stop(job.seq, StopCause.SHUTDOWN)

    def close(self) -> None:
        """End the threads that are free."""
        for _ in self._threads:
            self._inbox.put(None)
        for slot in self._threads:
            slot.thread.join(_JOIN_SECONDS)
        self._threads = []

    def _start_threads(self) -> None:
        while len(self._threads) < self._slots:
            self._threads.append(_SlotThread(self._work, len(self._threads)))

    def _work(self, slot: _SlotThread) -> None:
        take, run_one = self._inbox.get, self._run_one
        while True:
            item = take()
            if item is None:
                return
            for job in (item,) if isinstance(item, ClaimedJob) else _taken_from(item):
                run_one(slot, job)
                if slot.is_left_behind:
                    return

    def _run_one(self, slot: _SlotThread, job: ClaimedJob) -> None:
        slot.started_at = self._now()
        timer: Optional[threading.Timer] = None
        outcome: Optional[Outcome] = None
        slot.job = job
        try:
            if self._timeout_of is not None:
                timer = self._start_timer(job, self._timeout_of(job))
            outcome = self._run(job, slot.stop)
            with slot.lock:  # whoever is about to stop this job has it, and must not meet the next one
                slot.job = None
        except StopRequested:  # it came too early for the job, or too late
            slot.job = None
        if outcome is None:
            outcome = self._settle_stopped(job, slot.stop, slot.started_at)
        if slot.stop.cause is not None:
            slot.end_stopped()
            if slot.is_left_behind:
                return
            slot.stop = Stop()
        if timer is not None:
            timer.cancel()
        self._report(outcome)

    def _start_timer(self, job: ClaimedJob, seconds: Optional[float]) -> Optional[threading.Timer]:
        if seconds is None:
            return None
        return _later(seconds, partial(self.stop, job.seq, StopCause.TIMEOUT))

    def _leave_behind(self, slot: _SlotThread, job: ClaimedJob) -> None:
        """Record a job that did not stop, and replace its thread: what it still does counts no more."""
        with slot.lock:
            if slot.job is not job:
                return
            slot.is_left_behind = True
        self._threads[self._threads.index(slot)] = _SlotThread(self._work, slot.number)
        self._report(self._settle_stopped(job, slot.stop, slot.started_at))
        self._on_stuck(job)


def _taken_from(hand: _Hand) -> Iterator[ClaimedJob]:
    """Take the jobs out one by one; others may do the same at the same time."""
    while True:
        try:
            yield hand.popleft()
        except IndexError:
            return


class _SlotThread:
    """A thread and the job it runs now."""

    def __init__(self, work: Callable[[_SlotThread], None], number: int) -> None:
        self.number = number
        self.job: Optional[ClaimedJob] = None
        self.started_at = 0
        self.stop = Stop()
        self.lock = threading.Lock()
        self.is_left_behind = False
        # A daemon: a job that never ends must not keep the process from ending.
        self.thread = threading.Thread(target=work, args=(self,), name=f"sqlite-job-{number}", daemon=True)
        self.thread.start()

    def raise_in_job(self) -> None:
        """Make the thread raise at its next bytecode; a call into C is not interrupted."""
        assert self.thread.ident is not None  # noqa: S101 - it was started
        _set_async_exception(self.thread.ident, ctypes.py_object(StopRequested))

    def end_stopped(self) -> None:
        """Take back an exception that has not been raised yet: it was for the job, not for what runs next."""
        assert self.thread.ident is not None  # noqa: S101 - it was started
        try:
            with self.lock:
                _set_async_exception(self.thread.ident, None)
        except StopRequested:
            pass


def _set_async_exception(ident: int, exception: Optional[ctypes.py_object]) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), exception)


def _later(seconds: float, call: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()
    return timer
