"""Say what is to run when: `cron` and `every`, what is checked of them, and what is stored."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from sqlite_job.core.clock import to_datetime
from sqlite_job.core.errors import InvalidOptionError
from sqlite_job.core.jobs import NewJob
from sqlite_job.core.options import JobOptions
from sqlite_job.core.retries import Seconds

if TYPE_CHECKING:
    from sqlite_job.core.timetables import Timetable

MISFIRES = ("skip", "latest", "all")

Function = Union[str, Callable[..., Any]]


@dataclass(frozen=True)
class ScheduleEntry:
    """What `cron` or `every` was given; it is checked when settings are made, or where it is created."""

    function: Function
    args: Sequence[Any] = ()
    kwargs: Optional[Mapping[str, Any]] = None
    cron: Optional[str] = None
    every: Optional[Seconds] = None
    name: Optional[str] = None
    timezone: Any = None
    misfire: str = "skip"
    max_late: Optional[Seconds] = None
    jitter: Optional[Seconds] = None
    options: Mapping[str, Any] = field(default_factory=dict)


def cron(
    expression: str,
    function: Function,
    args: Sequence[Any] = (),
    kwargs: Optional[Mapping[str, Any]] = None,
    *,
    name: Optional[str] = None,
    timezone: Any = None,
    misfire: str = "skip",
    max_late: Optional[Seconds] = None,
    jitter: Optional[Seconds] = None,
    queue: Optional[str] = None,
    priority: Optional[int] = None,
    max_tries: Optional[int] = None,
    timeout: Optional[Seconds] = None,
    tags: Iterable[str] = (),
    meta: Optional[Mapping[str, Any]] = None,
) -> ScheduleEntry:
    """Run a function whenever a cron expression says so: `cron("0 3 * * *", nightly, timezone="Europe/Paris")`.

    `expression`: five fields, or six with seconds in front, or @hourly, @daily, @weekly, @monthly, @yearly. `name`: the
    function's own by default. `misfire`: what becomes of times that passed without a worker: "skip" drops them,
    "latest" runs the newest, "all" runs each; of those older than `max_late` none is run ("skip": a minute).
    `jitter`: each job waits a random time up to it. The others are those of `with_options`.
    """
    options = _given(queue=queue, priority=priority, max_tries=max_tries, timeout=timeout, tags=tags, meta=meta)
    return ScheduleEntry(
        function, args, kwargs, expression or "", None, name, timezone, misfire, max_late, jitter, options
    )


def every(
    seconds: Seconds,
    function: Function,
    args: Sequence[Any] = (),
    kwargs: Optional[Mapping[str, Any]] = None,
    *,
    name: Optional[str] = None,
    misfire: str = "skip",
    max_late: Optional[Seconds] = None,
    jitter: Optional[Seconds] = None,
    queue: Optional[str] = None,
    priority: Optional[int] = None,
    max_tries: Optional[int] = None,
    timeout: Optional[Seconds] = None,
    tags: Iterable[str] = (),
    meta: Optional[Mapping[str, Any]] = None,
) -> ScheduleEntry:
    """Run a function again and again: `every(30, ping)`, or `every(timedelta(hours=1), ping)`.

    The first time is one interval after the schedule was made, and the others are whole intervals later, whatever the
    jobs take. All else is as in `cron`.
    """
    options = _given(queue=queue, priority=priority, max_tries=max_tries, timeout=timeout, tags=tags, meta=meta)
    return ScheduleEntry(function, args, kwargs, None, seconds, name, None, misfire, max_late, jitter, options)


class Plan(NamedTuple):
    """The part of a schedule that says when; times in microseconds, in the order of the columns."""

    cron: Optional[str]
    every: Optional[int]
    timezone: str
    misfire: str
    max_late: Optional[int]
    jitter: Optional[int]

    def timetable(self, created_at: int) -> Timetable:
        """Return when it is due; raises InvalidOptionError."""
        from sqlite_job.core.timetables import make_timetable  # loads cronsim, for those who have schedules

        return make_timetable(self.cron, self.every, self.timezone, created_at)


class Schedule(NamedTuple):
    """A schedule as it is stored, in the order of the table's columns; `options` as JSON of JobOptions."""

    name: str
    origin: Optional[str]
    cron: Optional[str]
    every: Optional[int]
    timezone: str
    misfire: str
    max_late: Optional[int]
    jitter: Optional[int]
    function: str
    codec: str
    args: bytes
    preview: Optional[str]
    options: str
    created_at: int = 0
    paused_at: Optional[int] = None
    next_at: Optional[int] = None
    last_at: Optional[int] = None
    last_job_id: Optional[str] = None

    @property
    def plan(self) -> Plan:
        """The part that says when."""
        return Plan(*self[2:8])

    @property
    def times(self) -> Tuple[Any, ...]:
        """What decides about the slots."""
        return self[2:5]

    @property
    def definition(self) -> Tuple[Any, ...]:
        """All that settings say of it, beside its name and origin."""
        return self[2:13]

    def timetable(self) -> Timetable:
        """Return when it is due; raises InvalidOptionError."""
        return self.plan.timetable(self.created_at)

    def next_after(self, moment: int) -> Optional[int]:
        """Return the first slot later than that, or None."""
        return next(self.timetable().after(moment), None)


class Firing(NamedTuple):
    """A schedule as it was read, where it goes on, and the jobs of its due slots."""

    schedule: Schedule
    next_at: Optional[int]
    last_at: Optional[int]
    jobs: List[NewJob]
    missed: int = 0


class FoundSchedules(NamedTuple):
    """Schedules that are due, and when the first of the others will be."""

    due: List[Schedule]
    next_at: Optional[int]


class SyncedSchedules(NamedTuple):
    """What became different when settings came: names, and those that had been another origin's, with that."""

    added: List[str]
    changed: List[str]
    removed: List[str]
    taken: List[Tuple[str, Optional[str]]]


def payload_id(name: str) -> str:
    """Return the id under which the arguments of a schedule are encoded, in the place of a job's."""
    return f"schedule:{name}"


def slot_id(name: str, slot: int) -> str:
    """Return the id of the job of one slot: the same wherever it is made, so that it is made once."""
    return f"{name}@{to_datetime(slot).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def dump_options(options: JobOptions) -> str:
    """Return options as they are stored."""
    said = {name: value for name, value in vars(options).items() if value is not None}
    return json.dumps(said, sort_keys=True, separators=(",", ":"))


def load_options(text: str) -> JobOptions:
    """Return stored options; raises InvalidOptionError for those of a newer version."""
    try:
        return JobOptions(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise InvalidOptionError(f"its options cannot be read: {error}") from None


def _given(**options: Any) -> Mapping[str, Any]:
    return options
