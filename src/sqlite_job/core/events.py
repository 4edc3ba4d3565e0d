"""Say what happened, as values, to whoever subscribed: logs and metrics hang here, and nothing depends on them.

The hot path emits one event a turn, never one a job.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, NamedTuple, Optional, Sequence, Tuple, Union

from sqlite_job.core.jobs import ClaimedJob, RescuedJob
from sqlite_job.core.outcomes import Outcome
from sqlite_job.core.schedules import SyncedSchedules

_logger = logging.getLogger("sqlite_job")


class WorkerStarted(NamedTuple):
    """A worker is registered and takes jobs from now on."""

    worker_id: int
    queues: Tuple[str, ...]
    functions: Tuple[str, ...]
    database: str


class WorkerStopped(NamedTuple):
    """A worker has settled all it ran, and returned the rest."""

    worker_id: int
    jobs: int


class JobsClaimed(NamedTuple):
    """The jobs of one turn, in the order they will start."""

    jobs: Sequence[ClaimedJob]


class JobsSettled(NamedTuple):
    """The outcomes of one turn, each with its job; they are committed."""

    settled: Sequence[Tuple[ClaimedJob, Outcome]]


class OutcomesStale(NamedTuple):
    """Outcomes that changed nothing: the jobs were rescued, cancelled or deleted while they ran here."""

    outcomes: Sequence[Outcome]


class JobsRescued(NamedTuple):
    """Jobs were taken from workers that died or stopped answering; they run again, or have died too often."""

    jobs: Sequence[RescuedJob]


class JobsExpired(NamedTuple):
    """So many jobs were not started before they expired, and are cancelled."""

    jobs: int


class JobsPruned(NamedTuple):
    """So many finished jobs had been kept for their time, and were deleted, since the last event of this kind."""

    jobs: int


class WorkerFailed(NamedTuple):
    """The database cannot be used, and waiting does not mend it: the worker ends, and leaves its jobs to a rescue."""

    worker_id: int
    error: Exception
    held: int


class WorkerExpelled(NamedTuple):
    """This worker was silent for longer than its lease, so that others took its jobs; it goes on under a new id."""

    old_id: int
    new_id: int


class JobStuck(NamedTuple):
    """A job did not stop when it was told to: it was recorded as stopped, and its thread left behind."""

    job: ClaimedJob


class FunctionUnknown(NamedTuple):
    """Jobs wait in this worker's queues for a function it does not have; they are left for a worker that has it."""

    function: str
    hint: str


class StorageFailed(NamedTuple):
    """The database could not be used for one turn; it will be tried again after `retry_in` seconds."""

    error: Exception
    retry_in: float


class StorageRecovered(NamedTuple):
    """The database can be used again, `after` so many seconds from the first failure."""

    after: float


class SchedulesSynced(NamedTuple):
    """The schedules of a worker's settings became what the settings list."""

    origin: str
    synced: SyncedSchedules


class SchedulesFired(NamedTuple):
    """Schedules were due, and this worker made their jobs: names, with the ids of the jobs."""

    fired: Sequence[Tuple[str, Sequence[str]]]


class SlotsMissed(NamedTuple):
    """Times of a schedule passed without a worker, and are dropped, as its `misfire` says; counted up to a thousand."""

    schedule: str
    missed: int
    misfire: str


class ScheduleFailed(NamedTuple):
    """A schedule is due that this worker cannot fire; it is left for one that can."""

    schedule: str
    error: Exception


Event = Union[
    WorkerStarted,
    WorkerStopped,
    WorkerFailed,
    WorkerExpelled,
    JobsClaimed,
    JobsSettled,
    JobsRescued,
    JobsExpired,
    JobsPruned,
    JobStuck,
    OutcomesStale,
    FunctionUnknown,
    StorageFailed,
    StorageRecovered,
    SchedulesSynced,
    SchedulesFired,
    SlotsMissed,
    ScheduleFailed,
]
Subscriber = Callable[[Event], Any]


EVENTS: Tuple[type, ...] = Event.__args__  # type: ignore[attr-defined]


class Events:
    """A list of subscribers; one that raises is logged, and never stops a worker."""

    def __init__(self) -> None:
        """Start without subscribers."""
        self._subscribers: Tuple[Tuple[Subscriber, Optional[type]], ...] = ()

    def subscribe(self, subscriber: Subscriber, kind: Optional[type] = None) -> Callable[[], None]:
        """Call `subscriber` with each event from now on, or with those of one kind, in the thread where it happens.

        Return a function that ends it.
        """
        entry = (subscriber, kind)
        self._subscribers += (entry,)

        def unsubscribe() -> None:
            self._subscribers = tuple(one for one in self._subscribers if one is not entry)

        return unsubscribe

    def emit(self, event: Event) -> None:
        """Hand the event to all subscribers."""
        for subscriber, kind in self._subscribers:
            if kind is not None and type(event) is not kind:
                continue
            try:
                subscriber(event)
            except BaseException:
                _logger.exception("A subscriber failed on %s", type(event).__name__)


def check_subscription(subscriber: object, kind: object) -> None:
    """Raise TypeError, with the mend, for what cannot be called, or is no class of events."""
    if not callable(subscriber):
        message = f"a subscriber is a function that takes an event, not {subscriber!r}"
        raise TypeError(message)
    if kind is not None and kind not in EVENTS:
        message = f"there are no events of {kind!r}; there are {', '.join(one.__name__ for one in EVENTS)}"
        raise TypeError(message)
