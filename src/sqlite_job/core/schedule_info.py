"""Show what is known of a schedule to people and programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Dict, List, Mapping, Optional

from sqlite_job.core.clock import SECOND, to_datetime, to_microseconds
from sqlite_job.core.errors import InvalidOptionError
from sqlite_job.core.schedules import Plan, Schedule


@dataclass(frozen=True)
class ScheduleInfo:
    """All that is known of a schedule; durations in seconds, `arguments` is a bounded preview.

    `origin`: the settings that list it; None: made at run time. `next_at`: the next time, which passes without a job
    while the schedule is paused; None: there is none. `last_at`: the latest time for which a job was made.
    """

    name: str
    origin: Optional[str]
    cron: Optional[str]
    every: Optional[float]
    description: str
    timezone: str
    misfire: str
    max_late: Optional[float]
    jitter: Optional[float]
    function: str
    arguments: Optional[str]
    options: Mapping[str, Any]
    created_at: datetime
    paused_at: Optional[datetime]
    next_at: Optional[datetime]
    last_at: Optional[datetime]
    last_job_id: Optional[str]

    @property
    def is_paused(self) -> bool:
        """Whether it makes no jobs at present."""
        return self.paused_at is not None

    def next_times(self, count: int = 5) -> List[datetime]:
        """Return the next times, as if it were not paused; raises InvalidOptionError for a zone unknown here."""
        if self.next_at is None:
            return []
        every = None if self.every is None else round(self.every * SECOND)
        plan = Plan(self.cron, every, self.timezone, self.misfire, None, None)
        timetable = plan.timetable(to_microseconds(self.created_at))
        following = islice(timetable.after(to_microseconds(self.next_at)), max(count - 1, 0))
        return [self.next_at, *map(to_datetime, following)][:count]


def schedule_info(schedule: Schedule) -> ScheduleInfo:
    """Return what is known of a stored schedule, whoever wrote it."""
    return ScheduleInfo(
        name=schedule.name,
        origin=schedule.origin,
        cron=schedule.cron,
        every=_seconds(schedule.every),
        description=_describe(schedule),
        timezone=schedule.timezone,
        misfire=schedule.misfire,
        max_late=_seconds(schedule.max_late),
        jitter=_seconds(schedule.jitter),
        function=schedule.function,
        arguments=schedule.preview,
        options=_options(schedule.options),
        created_at=to_datetime(schedule.created_at),
        paused_at=_moment(schedule.paused_at),
        next_at=_moment(schedule.next_at),
        last_at=_moment(schedule.last_at),
        last_job_id=schedule.last_job_id,
    )


def _describe(schedule: Schedule) -> str:
    try:
        return schedule.timetable().describe()
    except InvalidOptionError as error:
        return f"not understood here: {error}"


def _options(text: str) -> Mapping[str, Any]:
    try:
        said: Dict[str, Any] = json.loads(text)
        for name in ("tags", "meta"):
            if name in said:
                said[name] = json.loads(said[name])
        if "timeout" in said:
            said["timeout"] /= SECOND
    except (TypeError, ValueError):  # another program wrote them
        return {}
    return said


def _seconds(duration: Optional[int]) -> Optional[float]:
    return None if duration is None else duration / SECOND


def _moment(time: Optional[int]) -> Optional[datetime]:
    return None if time is None else to_datetime(time)
