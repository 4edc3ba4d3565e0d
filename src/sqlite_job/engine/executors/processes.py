"""Run jobs in processes of their own: one that crashes, leaks or hangs takes nobody with it."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import Callable, List, NamedTuple, Optional, Sequence

from sqlite_job.core.clock import Clock, ahead_of_system, elapsed
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.notes import JobNotes
from sqlite_job.core.outcomes import Died, FailureReport, Outcome
from sqlite_job.core.stopping import GRACE_SECONDS, Stop, StopCause
from sqlite_job.engine.executors import Executor, Report
from sqlite_job.engine.executors.child_process import ChildBrokenError, ChildProcess
from sqlite_job.engine.executors.frames import Message, unpack_outcome

# An idle process has 5 seconds to run its on_shutdown.
_JOIN_SECONDS = 6.0

# Reading a process's memory costs as much as a short job: not after each one.
_JOBS_BETWEEN_LOOKS = 16


# A job that ended so before it was stopped has completed all the same.
_DONE = frozenset({"Completed", "Committed"})


class ProcessOptions(NamedTuple):
    """When a process is replaced by a fresh one, and how often a job may die."""

    slots: int
    max_deaths: int
    max_jobs_per_child: Optional[int] = None
    max_rss_mb: Optional[float] = None


class ProcessExecutor(Executor):
    """A thread for each slot, with a warm process behind it that starts with the slot's first job."""

    def __init__(
        self,
        hello: Message,
        report: Report,
        options: ProcessOptions,
        *,
        clock: Clock,
        settle_stopped: Callable[[ClaimedJob, Stop, int], Outcome],
        timeout_of: Callable[[ClaimedJob], Optional[float]],
        on_log: Callable[[Message], None],
        on_notes: Callable[[JobNotes], None],
    ) -> None:
        """Start processes with `hello`; `settle_stopped` says what a stopped job's outcome is."""
        self._hello = hello
        self._report = report
        self._options = options
        self._clock = clock
        self._settle_stopped = settle_stopped
        self._timeout_of = timeout_of
        self._on_log = on_log
        self._on_notes = on_notes
        self._inbox: SimpleQueue[Optional[ClaimedJob]] = SimpleQueue()
        self._slots: List[_Slot] = []
        self._outstanding = 0

    def submit(self, jobs: Sequence[ClaimedJob]) -> None:
        """Take jobs, to be started in this order."""
        for job in jobs:
            self._inbox.put(job)
        # No more processes than there was work for at once: each costs 30 MB and a start.
        while len(self._slots) < min(self._options.slots, self._busy() + self._inbox.qsize()):
            self._slots.append(_Slot(self._serve, len(self._slots)))

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

    def stop(self, seq: int, cause: StopCause, reason: Optional[str] = None) -> bool:
        """Tell a running job to stop, and kill it if it does not; False when it does not run here."""
        for slot in self._slots:
            job = slot.job
            if job is not None and job.seq == seq:
                if slot.stop.set(cause, reason) and slot.has_started:
                    slot.terminate()
                return True
        return False

    def interrupt(self) -> None:
        """Make running jobs end soon; they are returned."""
        for slot in self._slots:
            job = slot.job
            if job is not None:
                self.stop(job.seq, StopCause.SHUTDOWN)

    def close(self) -> None:
        """End all processes."""
        for _ in self._slots:
            self._inbox.put(None)
        for slot in self._slots:
            slot.thread.join(GRACE_SECONDS + _JOIN_SECONDS)
        self._slots = []

    def _busy(self) -> int:
        return sum(slot.job is not None for slot in self._slots)

    def _serve(self, slot: _Slot) -> None:
        try:
            while True:
                job = self._inbox.get()
                if job is None:
                    return
                slot.stop = Stop()
                slot.has_started = False
                slot.job = job
                outcome = self._run(slot, job)
                slot.job = None
                self._report(outcome)
        finally:
            if slot.child is not None:
                slot.child.close()

    def _run(self, slot: _Slot, job: ClaimedJob) -> Outcome:
        started_at = self._clock.now()
        if slot.child is not None and slot.child.has_ended():
            slot.child.close()
            slot.child = None  # it died of nothing that this job could be blamed for
        try:
            if slot.child is None:
                slot.child = ChildProcess(self._hello, self._on_log, self._on_notes)
                started_at = self._clock.now()  # a fresh process takes a quarter of a second
            slot.child.start_job((ahead_of_system(self._clock), *job))
            slot.has_started = True
            if slot.stop.cause is not None:  # while the process started, when there was nobody to tell
                slot.terminate()
            outcome = self._wait(slot, job, started_at)
        except ChildBrokenError as error:
            return self._died(job, started_at, str(error))
        except (EOFError, OSError):
            outcome = self._outcome_of_end(slot, job, started_at)
        if slot.child is not None and self._is_spent(slot.child):
            slot.child.close()
            slot.child = None
        return outcome

    def _wait(self, slot: _Slot, job: ClaimedJob, started_at: int) -> Outcome:
        child = slot.child
        assert child is not None  # noqa: S101 - made by the caller
        timeout = self._timeout_of(job)
        try:
            message = child.wait_for_outcome(None if timeout is None else elapsed() + timeout)
        except TimeoutError:
            self.stop(job.seq, StopCause.TIMEOUT)
            message = child.wait_for_outcome(None)  # it stops, or it is killed
        if slot.stop.cause is None:
            return unpack_outcome(*message[1:])
        return self._outcome_after_stop(slot, job, message, started_at)

    def _outcome_after_stop(self, slot: _Slot, job: ClaimedJob, message: Message, started_at: int) -> Outcome:
        # The signal may still be on its way to the process: a fresh one is cheaper than a job stopped by mistake.
        if slot.child is not None:
            slot.child.kill()
            slot.child = None
        if message[1] in _DONE:
            return unpack_outcome(*message[1:])
        return self._settle_stopped(job, slot.stop, started_at)

    def _outcome_of_end(self, slot: _Slot, job: ClaimedJob, started_at: int) -> Outcome:
        child, slot.child = slot.child, None
        assert child is not None  # noqa: S101 - it has just ended
        child.kill()
        if slot.stop.cause is not None:
            return self._settle_stopped(job, slot.stop, started_at)
        return self._died(job, started_at, f"worker died ({child.describe_end()})")

    def _died(self, job: ClaimedJob, started_at: int, message: str) -> Outcome:
        report = FailureReport(job.tries, "WorkerDied", message, "")
        is_final = job.deaths + 1 >= self._options.max_deaths
        return Died(started_at, self._clock.now(), job.seq, job.claim_number, report, is_final)

    def _is_spent(self, child: ChildProcess) -> bool:
        options = self._options
        if options.max_jobs_per_child is not None and child.jobs_run >= options.max_jobs_per_child:
            return True
        if options.max_rss_mb is None or child.jobs_run % _JOBS_BETWEEN_LOOKS:
            return False
        return child.memory_mb() > options.max_rss_mb


class _Slot:
    """A thread, the process behind it, and the job it runs now."""

    def __init__(self, serve: Callable[[_Slot], None], number: int) -> None:
        self.child: Optional[ChildProcess] = None
        self.job: Optional[ClaimedJob] = None
        self.stop = Stop()
        self.has_started = False
        self.thread = threading.Thread(target=serve, args=(self,), name=f"sqlite-job-process-{number}", daemon=True)
        self.thread.start()

    def terminate(self) -> None:
        """Tell the process to stop its job, and kill it if it does not."""
        child = self.child
        if child is not None:
            child.terminate()
            killer = threading.Timer(GRACE_SECONDS, child.kill)
            killer.daemon = True
            killer.start()
