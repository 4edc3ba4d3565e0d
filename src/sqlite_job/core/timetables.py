"""Tell when a schedule is due: cron expressions on the clocks of a zone, and plain intervals."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Iterator, List, Optional, Protocol, Tuple

from cronsim import CronSim, CronSimError

from sqlite_job.core.clock import MICROSECOND, SECOND
from sqlite_job.core.errors import InvalidOptionError, did_you_mean
from sqlite_job.core.zones import Zone, find_zone, shift

ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_FIELDS = 5
_MINUTE = timedelta(minutes=1)
_TICK = timedelta(microseconds=MICROSECOND)
_ALL_HOURS = set(range(24))
_ANY_DAY = datetime(2000, 1, 1)  # noqa: DTZ001 - of walls, which are naive
# What cronsim raises for an expression that it cannot read; the last two by oversight.
_NOT_CRON = (CronSimError, ValueError, AssertionError, TypeError)
_FORM = "write minute, hour, day of the month, month and day of the week, as '30 4 * * *', or an alias as '@daily'"


class Timetable(Protocol):
    """The times of one schedule, its slots, in microseconds since 1970, UTC."""

    def after(self, moment: int) -> Iterator[int]:
        """Yield the slots later than `moment`, in their order; without end unless the schedule has one."""
        ...

    def describe(self) -> str:
        """Return the rule as a sentence."""
        ...


class CronTable:
    """The slots of a cron expression in a time zone.

    An expression that leaves out hours names times of the day: each of them comes once, the first time that the clocks
    show it; where they skip it, at the moment of the skip. One that runs in every hour follows the running clock: it
    goes on through an hour that comes twice, and knows nothing of one that is skipped.
    """

    def __init__(self, expression: str, zone: Zone) -> None:
        """Raise InvalidOptionError, with the reason, for what is no expression or never comes."""
        self._expression = expression
        self._fields, self._seconds = _parse(expression)
        self._zone = zone
        self._runs_in_every_hour = set(_simulate(self._fields, _ANY_DAY).hours) >= _ALL_HOURS
        if next(self._walls_after(_ANY_DAY), None) is None:
            raise InvalidOptionError(f"the cron expression {expression!r} names a day that never comes")

    def after(self, moment: int) -> Iterator[int]:
        """Yield the slots later than `moment`."""
        return self._by_the_running_clock(moment) if self._runs_in_every_hour else self._each_wall_once(moment)

    def describe(self) -> str:
        """Return the expression as a sentence."""
        words = _expand(self._expression).split()
        try:
            return _simulate(" ".join(words), _ANY_DAY).explain()
        except CronSimError:  # cronsim for Python 3.8 and 3.9 knows no seconds
            return f"{_simulate(self._fields, _ANY_DAY).explain()}, at the seconds {words[0]}"

    def _each_wall_once(self, moment: int) -> Iterator[int]:
        for wall in self._walls_after(self._zone.wall(moment)):
            slot = self._zone.first_moment(wall)
            # Not later: what comes for the second time, and what else was skipped together.
            if slot > moment:
                yield slot
                moment = slot

    def _by_the_running_clock(self, moment: int) -> Iterator[int]:
        zone = self._zone
        wall = zone.wall(moment)
        is_over = False
        while not is_over:
            offset = zone.offset(moment)
            is_over = True
            for later in self._walls_after(wall):
                slot = shift(later, offset)
                change = zone.change_between(moment, slot)
                if change is not None:
                    moment, wall, is_over = change, zone.wall(change) - _TICK, False
                    break
                yield slot
                moment = slot

    def _walls_after(self, wall: datetime) -> Iterator[datetime]:
        minute = wall.replace(second=0, microsecond=0)
        try:
            for start in _simulate(self._fields, minute - _MINUTE):
                for second in self._seconds:
                    found = start.replace(second=second)
                    if found > wall:
                        yield found
        except OverflowError:  # the end of the calendar
            return


class Interval:
    """Slots that are whole intervals after `start`."""

    def __init__(self, interval: int, start: int) -> None:
        """Take both in microseconds."""
        self._interval = interval
        self._start = start

    def after(self, moment: int) -> Iterator[int]:
        """Yield the slots later than `moment`; the first one is an interval after the start."""
        number = max((moment - self._start) // self._interval + 1, 1)
        while True:
            yield self._start + number * self._interval
            number += 1

    def describe(self) -> str:
        """Return the interval as a sentence, in its largest unit."""
        for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
            if self._interval % (size * SECOND) == 0:
                count = self._interval // (size * SECOND)
                return f"Every {unit}" if count == 1 else f"Every {count:,} {unit}s"
        return f"Every {self._interval / SECOND:g} seconds"


def make_timetable(cron: Optional[str], every: Optional[int], timezone: object, start: int) -> Timetable:
    """Return the timetable of an expression, or of an interval from `start`; raises InvalidOptionError."""
    if cron is not None:
        return CronTable(cron, find_zone(timezone))
    if every is None or every <= 0:
        raise InvalidOptionError("a schedule has a cron expression or an interval")
    return Interval(every, start)


def check_expression(expression: object) -> None:
    """Raise InvalidOptionError for what is no cron expression, or never comes."""
    CronTable(expression, find_zone("UTC"))  # type: ignore[arg-type]


def latest_until(timetable: Timetable, first: int, moment: int) -> int:
    """Return the latest slot that is not later than `moment`, when `first` is one of those."""
    early, late = first, moment
    while True:
        # Slots later than `late` are too late; `early` is a slot. Halve what is between, without a walk through all.
        middle = (early + late) // 2
        found = next(timetable.after(middle), None)
        if found is not None and found <= moment:
            early = found
        elif middle == early:
            return early
        else:
            late = middle


def _parse(expression: str) -> Tuple[str, List[int]]:
    """Return the five usual fields, and the seconds, which a sixth in front may choose."""
    if not isinstance(expression, str):
        raise InvalidOptionError(f"a cron expression is text, not {expression!r}; {_FORM}")
    words = _expand(expression).split()
    seconds = words.pop(0) if len(words) == _FIELDS + 1 else "0"
    fields = " ".join(words)
    if len(words) != _FIELDS:
        raise InvalidOptionError(f"the cron expression {expression!r} has {len(words)} fields; {_FORM}")
    try:
        _simulate(fields, _ANY_DAY)
    except _NOT_CRON as error:
        raise InvalidOptionError(f"no cron expression: {expression!r} ({_reason(error)}); {_FORM}") from None
    try:
        # The same rules as for minutes: cronsim for Python 3.8 and 3.9 knows no seconds.
        return fields, sorted(_simulate(f"{seconds} * * * *", _ANY_DAY).minutes)
    except _NOT_CRON:
        raise InvalidOptionError(f"no cron expression: {expression!r} (bad second); {_FORM}") from None


def _expand(expression: str) -> str:
    text = expression.strip()
    if not text.startswith("@"):
        return text
    if text.lower() not in ALIASES:
        hint = did_you_mean(text.lower(), ALIASES)
        raise InvalidOptionError(f"no alias {expression!r}{hint}; there are {', '.join(ALIASES)}")
    return ALIASES[text.lower()]


def _simulate(fields: str, start: datetime) -> CronSim:
    return CronSim(fields, start)


def _reason(error: Exception) -> str:
    text = str(error) or "bad field"
    return text[0].lower() + text[1:]
