"""Write the log sentences of a worker."""

from __future__ import annotations

import logging
from typing import Any, Callable, Dict, Sequence, Tuple

from sqlite_job.core.clock import elapsed
from sqlite_job.core.escaping import escape_lines
from sqlite_job.core.events import (
    Event,
    FunctionUnknown,
    JobsClaimed,
    JobsExpired,
    JobsPruned,
    JobsRescued,
    JobsSettled,
    JobStuck,
    OutcomesStale,
    ScheduleFailed,
    SchedulesFired,
    SchedulesSynced,
    SlotsMissed,
    StorageFailed,
    StorageRecovered,
    WorkerExpelled,
    WorkerFailed,
    WorkerStarted,
    WorkerStopped,
)
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.outcomes import (
    Cancelled,
    Committed,
    Completed,
    Died,
    Failed,
    Limited,
    Outcome,
    Retried,
    Returned,
    Snoozed,
)

logger = logging.getLogger("sqlite_job")

_DONE = frozenset({Completed, Committed})

# A line costs more than a short job: past this many completed jobs in a second the rest are only counted.
_LINES_A_SECOND = 20

# Of missed times of a schedule.
_MOST_COUNTED = 1_000


class LogEvents:
    """A subscriber that logs: failures always, completed jobs one by one while they are few."""

    def __init__(self) -> None:
        """Start with a fresh second."""
        self._second = elapsed()
        self._lines_left = _LINES_A_SECOND
        self._uncounted = 0

    def __call__(self, event: Event) -> None:
        """Log one event."""
        write = _WRITERS.get(type(event))
        if write is not None:
            write(event)
        elif isinstance(event, JobsSettled):
            self._settled(event.settled)

    def _settled(self, settled: Sequence[Tuple[ClaimedJob, Outcome]]) -> None:
        if not logger.isEnabledFor(logging.INFO):
            settled = [(job, outcome) for job, outcome in settled if type(outcome) not in _DONE]
        self._refill()
        for job, outcome in settled:
            if type(outcome) not in _DONE:
                _OUTCOME_WRITERS[type(outcome)](job, outcome)
            elif self._lines_left > 0:
                self._lines_left -= 1
                logger.info("Completed %s %s in %s", job.function, job.id, _duration(outcome))
            else:
                self._uncounted += 1

    def _refill(self) -> None:
        now = elapsed()
        if now - self._second < 1:
            return
        if self._uncounted:
            logger.info("Completed %s more in %.1f s", f"{self._uncounted:,}", now - self._second)
        self._second, self._lines_left, self._uncounted = now, _LINES_A_SECOND, 0


def configure_logging() -> None:
    """Log to the standard error stream, unless the program has set up logging of its own."""
    if logger.handlers or logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _started(event: WorkerStarted) -> None:
    logger.info(
        "Worker %d serves %s with %s (%s) from %s",
        event.worker_id,
        ", ".join(event.queues),
        _count(len(event.functions), "function"),
        _some(event.functions),
        event.database,
    )


def _stopped(event: WorkerStopped) -> None:
    logger.info("Worker %d stopped after %s", event.worker_id, _count(event.jobs, "job"))


def _worker_failed(event: WorkerFailed) -> None:
    logger.critical(
        "Worker %d ends, and leaves %d running jobs to the next one: %s", event.worker_id, event.held, event.error
    )


def _claimed(event: JobsClaimed) -> None:
    logger.debug("Claimed %s", _count(len(event.jobs), "job"))


def _stale(event: OutcomesStale) -> None:
    logger.warning(
        "%s came too late and changed nothing: the jobs had been taken from this worker",
        _count(len(event.outcomes), "outcome"),
    )


def _rescued(event: JobsRescued) -> None:
    workers = sorted({job.worker_id for job in event.jobs})
    logger.warning("Rescued %s of worker %s", _count(len(event.jobs), "job"), ", ".join(map(str, workers)))
    for job in event.jobs:
        if job.is_final:
            logger.error("Failed %s %s: its worker died %d times", job.function, job.id, job.deaths)


def _expired(event: JobsExpired) -> None:
    logger.warning("Cancelled %s not started before expiring", _count(event.jobs, "job"))


def _pruned(event: JobsPruned) -> None:
    logger.info("Pruned %s", _count(event.jobs, "finished job"))


def _expelled(event: WorkerExpelled) -> None:
    logger.warning(
        "Worker %d was silent for longer than its lease and its jobs were given to others; it goes on as worker %d",
        event.old_id,
        event.new_id,
    )


def _died(job: ClaimedJob, outcome: Died) -> None:
    then = "it failed" if outcome.is_final else "it runs again"
    logger.error("Died %s %s: %s; %s", job.function, job.id, outcome.failure.message, then)


def _stuck(event: JobStuck) -> None:
    logger.error(
        "%s %s did not stop when it was told to; its thread is left behind, and runs on until this worker ends",
        event.job.function,
        event.job.id,
    )


def _unknown(event: FunctionUnknown) -> None:
    logger.warning(
        "Jobs wait for a function %r, which this worker does not have%s; they stay pending for one that does",
        event.function,
        event.hint,
    )


def _storage_failed(event: StorageFailed) -> None:
    logger.error("%s; trying again in %.1f s", event.error, event.retry_in)


def _storage_recovered(event: StorageRecovered) -> None:
    logger.warning("The database can be used again, after %.1f s", event.after)


def _synced(event: SchedulesSynced) -> None:
    added, changed, removed, taken = event.synced
    for verb, names in (("added", added), ("changed", changed), ("removed", removed)):
        if names:
            logger.info("Schedules of %s: %s %s (%s)", event.origin, verb, f"{len(names):,}", _some(names))
    for name, former in taken:
        logger.warning(
            "Schedule %s was %s; from now on it is what %s says",
            name,
            "made at run time" if former is None else f"listed by {former}",
            event.origin,
        )


def _fired(event: SchedulesFired) -> None:
    if len(event.fired) == 1 and len(event.fired[0][1]) == 1:
        logger.info("Fired %s: job %s", event.fired[0][0], event.fired[0][1][0])
        return
    jobs = sum(len(ids) for _, ids in event.fired)
    logger.info("Fired %s (%s)", _count(jobs, "job"), _some([name for name, _ in event.fired]))


def _missed(event: SlotsMissed) -> None:
    logger.warning(
        "Schedule %s missed %s, which passed without a worker (misfire=%r)",
        event.schedule,
        _count(event.missed, "time") + ("" if event.missed < _MOST_COUNTED else " or more"),
        event.misfire,
    )


def _schedule_failed(event: ScheduleFailed) -> None:
    logger.error("Cannot fire %s: %s; it is left for a worker that can", event.schedule, event.error)


def _failed(job: ClaimedJob, outcome: Failed) -> None:
    report = outcome.failure
    logger.error(
        "Failed %s %s on try %d: %s: %s\n%s",
        job.function,
        job.id,
        job.tries,
        report.error_type,
        report.message,
        escape_lines(report.traceback),
    )


def _retried(job: ClaimedJob, outcome: Retried) -> None:
    seconds = (outcome.run_at - outcome.finished_at) / 1e6
    report = outcome.failure
    logger.warning(
        "Retry %s %s in %.1f s after try %d: %s: %s",
        job.function,
        job.id,
        seconds,
        job.tries,
        report.error_type,
        report.message,
    )


def _snoozed(job: ClaimedJob, outcome: Snoozed) -> None:
    logger.info("Snoozed %s %s for %.1f s", job.function, job.id, (outcome.run_at - outcome.finished_at) / 1e6)


def _cancelled(job: ClaimedJob, outcome: Cancelled) -> None:
    logger.info("Cancelled %s %s: %s", job.function, job.id, outcome.reason or "no reason given")


def _returned(job: ClaimedJob, _outcome: Returned) -> None:
    logger.debug("Returned %s %s to the queue", job.function, job.id)


def _limited(job: ClaimedJob, _outcome: Limited) -> None:
    logger.debug("Put %s %s back: its function has a limit, which its producer did not know", job.function, job.id)


def _duration(outcome: Any) -> str:
    seconds = (outcome.finished_at - outcome.started_at) / 1e6
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")  # noqa: PLR2004 - what fits a line


_WRITERS: Dict[type, Callable[[Any], None]] = {
    WorkerStarted: _started,
    WorkerStopped: _stopped,
    WorkerFailed: _worker_failed,
    JobsClaimed: _claimed,
    OutcomesStale: _stale,
    JobsRescued: _rescued,
    JobsExpired: _expired,
    JobsPruned: _pruned,
    JobStuck: _stuck,
    WorkerExpelled: _expelled,
    FunctionUnknown: _unknown,
    StorageFailed: _storage_failed,
    StorageRecovered: _storage_recovered,
    SchedulesSynced: _synced,
    SchedulesFired: _fired,
    SlotsMissed: _missed,
    ScheduleFailed: _schedule_failed,
}

_OUTCOME_WRITERS: Dict[type, Callable[[ClaimedJob, Any], None]] = {
    Failed: _failed,
    Retried: _retried,
    Snoozed: _snoozed,
    Cancelled: _cancelled,
    Died: _died,
    Returned: _returned,
    Limited: _limited,
}
