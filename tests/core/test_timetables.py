"""When schedules are due: against a slow oracle that looks at each minute of the clocks around their changes."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from itertools import islice, takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlite_job.core.clock import SECOND, to_datetime, to_microseconds
from sqlite_job.core.errors import InvalidOptionError
from sqlite_job.core.timetables import ALIASES, CronTable, Interval, latest_until, make_timetable
from sqlite_job.core.zones import find_zone

if sys.version_info >= (3, 9):
    from zoneinfo import ZoneInfo
else:
    from backports.zoneinfo import ZoneInfo

UTC = timezone.utc
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

# Changes by half an hour, of a quarter, of two hours, of a whole day, at midnight, to winter instead of summer, twice a
# Ramadan, and none at all.
ZONES = [
    *("Australia/Lord_Howe", "Pacific/Chatham", "Asia/Kathmandu", "Europe/Dublin", "Africa/Casablanca"),
    *("America/Santiago", "Pacific/Apia", "Antarctica/Troll", "Asia/Beirut", "America/Havana", "America/Caracas"),
    *("Asia/Pyongyang", "Europe/Paris", "America/New_York", "Asia/Gaza", "UTC"),
]


# ---- the oracle


@lru_cache(maxsize=None)
def changes(zone):
    """Return days on which the clocks of a zone change; a plain one where they never do."""
    info, day, end = ZoneInfo(zone), datetime(1985, 6, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
    found = []
    while day < end:
        if day.astimezone(info).utcoffset() != (day + DAY).astimezone(info).utcoffset():
            found.append(day)
        day += DAY
    return found or [datetime(2026, 3, 1, tzinfo=UTC)]


def values(field, least, most):
    """Return what a field of the generated kinds names: `*`, `*/2`, `1,5`."""
    if field == "*":
        return set(range(least, most + 1))
    if field.startswith("*/"):
        return set(range(least, most + 1, int(field[2:])))
    return {int(word) for word in field.split(",")}


class Oracle:
    """Says of one minute on a clock whether an expression names it."""

    def __init__(self, expression):
        minute, hour, day, month, weekday = expression.split()
        self.minutes, self.hours = values(minute, 0, 59), values(hour, 0, 23)
        self.days, self.months, self.weekdays = values(day, 1, 31), values(month, 1, 12), values(weekday, 0, 6)
        self.needs_both = day.startswith("*") or weekday.startswith("*")
        self.runs_in_every_hour = len(self.hours) == 24

    def names(self, wall):
        day, weekday = wall.day in self.days, wall.isoweekday() % 7 in self.weekdays
        is_day = day and weekday if self.needs_both else day or weekday
        return is_day and wall.month in self.months and wall.hour in self.hours and wall.minute in self.minutes


def slots_of_oracle(expression, zone, start, end):
    oracle, info = Oracle(expression), ZoneInfo(zone)
    moment, seen = start - 2 * DAY, set()
    before = None
    while moment < end:
        wall = moment.astimezone(info).replace(tzinfo=None)
        walls = {wall}
        if before is not None and not oracle.runs_in_every_hour:
            skipped = before + MINUTE
            while skipped < wall:
                walls.add(skipped)
                skipped += MINUTE
            walls -= seen
            seen |= walls
        if moment > start and any(map(oracle.names, walls)):
            yield moment
        before, moment = wall, moment + MINUTE


# ---- expressions


def some(least, most):
    numbers = st.sets(st.integers(least, most), min_size=1, max_size=4)
    return numbers.map(lambda found: ",".join(map(str, sorted(found))))


def steps(*sizes):
    return st.sampled_from([f"*/{size}" for size in sizes])


EXPRESSIONS = st.builds(
    " ".join,
    st.tuples(
        st.one_of(some(0, 59), steps(1, 5, 7, 15, 20, 30), st.just("*"), st.just("0")),
        st.one_of(some(0, 23), some(0, 3), steps(1, 2, 3, 6), st.just("*")),
        st.one_of(st.just("*"), some(1, 31), steps(2)),
        st.just("*"),
        st.one_of(st.just("*"), some(0, 6)),
    ),
)


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, 1000), st.integers(-3000, 1600), EXPRESSIONS)
def test_slots_around_changes_of_the_clocks_are_those_of_the_oracle(zone, number, minutes, expression):
    change = changes(zone)[number % len(changes(zone))]
    start = change + minutes * MINUTE
    end = start + 3 * DAY
    table = CronTable(expression, find_zone(zone))
    found = [
        to_datetime(slot)
        for slot in takewhile(lambda slot: slot < to_microseconds(end), table.after(to_microseconds(start)))
    ]

    assert found == list(slots_of_oracle(expression, zone, start, end))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ZONES), st.integers(0, 1000), st.integers(-3000, 1600), EXPRESSIONS, st.integers(0, 40))
def test_it_goes_on_from_any_moment_as_if_it_had_never_stopped(zone, number, minutes, expression, steps_done):
    start = to_microseconds(changes(zone)[number % len(changes(zone))] + minutes * MINUTE)
    table = CronTable(expression, find_zone(zone))
    whole = list(islice(table.after(start), steps_done + 5))
    moment = whole[steps_done]

    assert list(islice(table.after(moment), 4)) == whole[steps_done + 1 :]
    assert list(islice(table.after(moment - 1), 5)) == whole[steps_done:]
    assert next(table.after((moment + whole[steps_done + 1]) // 2)) == whole[steps_done + 1]
    assert latest_until(table, whole[0], moment) == moment
    assert latest_until(table, whole[0], whole[steps_done + 1] - 1) == moment


# ---- by example


def walls(expression, zone, start, count):
    table = CronTable(expression, find_zone(zone))
    found = islice(table.after(to_microseconds(datetime.fromisoformat(f"{start}+00:00"))), count)
    return [to_datetime(slot).astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z") for slot in found]


def test_a_time_that_is_skipped_comes_at_the_moment_of_the_skip():
    assert walls("30 2 * * *", "Europe/Paris", "2026-03-28T00:00", 3) == [
        "28 02:30 +0100",
        "29 03:00 +0200",
        "30 02:30 +0200",
    ]


def test_all_that_is_skipped_together_comes_once():
    assert walls("*/10 2,3 29 3 *", "Europe/Paris", "2026-03-28T00:00", 2) == ["29 03:00 +0200", "29 03:10 +0200"]


def test_a_midnight_that_does_not_exist_comes_an_hour_later():
    assert walls("@daily", "America/Santiago", "2026-09-05T05:00", 2) == ["06 01:00 -0300", "07 00:00 -0300"]


def test_a_day_that_does_not_exist_comes_when_the_next_one_begins():
    assert walls("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00", 1) == ["31 00:00 +1400"]


def test_a_time_that_comes_twice_counts_the_first_time():
    assert walls("30 2 * * *", "Europe/Paris", "2026-10-24T00:00", 3) == [
        "24 02:30 +0200",
        "25 02:30 +0200",
        "26 02:30 +0100",
    ]


def test_what_runs_in_every_hour_goes_on_while_an_hour_comes_twice():
    assert walls("*/30 * * * *", "Europe/Paris", "2026-10-25T00:00", 5) == [
        *("25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100", "25 03:00 +0100", "25 03:30 +0100"),
    ]


def test_a_year_of_waiting_does_not_hide_a_change_of_the_clocks():
    # Winter when it starts, and winter again half an hour after the first of these.
    assert walls("30 * 1 11 *", "America/Havana", "2026-01-10T00:00", 3) == [
        *("01 00:30 -0400", "01 00:30 -0500", "01 01:30 -0500"),
    ]


def test_a_sixth_field_in_front_names_seconds():
    table = CronTable("10,*/25 59 23 * * *", find_zone("UTC"))
    start = to_microseconds(datetime(2026, 1, 1, tzinfo=UTC))
    found = [to_datetime(slot).strftime("%d %X") for slot in islice(table.after(start), 4)]

    assert found == ["01 23:59:00", "01 23:59:10", "01 23:59:25", "01 23:59:50"]


def test_a_start_inside_a_second_misses_nothing():
    table = CronTable("* * * * * *", find_zone("Asia/Kathmandu"))
    start = to_microseconds(datetime(2026, 1, 1, tzinfo=UTC))

    assert list(islice(table.after(start + 1), 2)) == [start + SECOND, start + 2 * SECOND]
    assert next(table.after(start - 1)) == start


@pytest.mark.parametrize(
    ("expression", "described"),
    [
        ("0 3 * * *", "At 03:00 every day"),
        ("@hourly", "At the start of every hour"),
        ("*/5 9-17 * * MON-FRI", "Every fifth minute from 09:00 through 17:59 on Monday through Friday"),
        ("0 0 LW * *", "At 00:00 on the last weekday of every month"),
    ],
)
def test_it_is_described_as_a_sentence(expression, described):
    assert CronTable(expression, find_zone("UTC")).describe().replace("5th", "fifth") == described


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_its_expression(alias):
    start = to_microseconds(datetime(2026, 5, 17, tzinfo=UTC))
    tables = [CronTable(text, find_zone("UTC")) for text in (alias, alias.upper(), f" {ALIASES[alias]} ")]

    assert len({tuple(islice(table.after(start), 5)) for table in tables}) == 1


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("61 * * * *", "bad minute"),
        ("* 24 * * *", "bad hour"),
        ("* * * * 8", "bad day-of-week"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("99 0 0 1 1 *", "bad second"),
        ("* * * *", "has 4 fields"),
        ("", "has 0 fields"),
        ("* * * * * * *", "has 7 fields"),
        ("@dayly", "did you mean '@daily'"),
        ("@reboot", "there are @yearly"),
        (5, "is text, not 5"),
    ],
)
def test_what_is_no_expression_is_refused_with_the_reason(expression, reason):
    with pytest.raises(InvalidOptionError, match=reason) as caught:
        CronTable(expression, find_zone("UTC"))
    assert repr(expression) in str(caught.value)


@pytest.mark.parametrize(
    ("zone", "message"),
    [
        ("Europe/Pari", r"no time zone 'Europe/Pari' \(did you mean 'Europe/Paris'\?\)"),
        ("../../etc/passwd", "no time zone"),
        ("", "no time zone ''"),
        (None, "is a name"),
        (timezone(timedelta(hours=1)), "is a name"),
    ],
)
def test_what_is_no_zone_is_refused(zone, message):
    with pytest.raises(InvalidOptionError, match=message):
        find_zone(zone)


@pytest.mark.parametrize("zone", [UTC, "UTC", ZoneInfo("Asia/Gaza"), "Asia/Gaza"])
def test_a_zone_may_be_given_as_what_it_is(zone):
    assert find_zone(zone).name in ("UTC", "Asia/Gaza")


@given(st.integers(10_000, 10**13), st.integers(0, 10**15), st.integers(-(10**14), 10**15))
def test_slots_of_an_interval_are_whole_intervals_after_its_start(interval, start, moment):
    first, second = islice(Interval(interval, start).after(moment), 2)

    assert first > max(moment, start)
    assert (first - start) % interval == 0
    assert first - interval <= max(moment, start)
    assert second == first + interval


@pytest.mark.parametrize(
    ("seconds", "described"),
    [
        (1, "Every second"),
        (90, "Every 90 seconds"),
        (300, "Every 5 minutes"),
        (3600, "Every hour"),
        (86400 * 7, "Every 7 days"),
        (0.5, "Every 0.5 seconds"),
    ],
)
def test_an_interval_is_described_in_its_largest_unit(seconds, described):
    assert Interval(round(seconds * SECOND), 0).describe() == described


def test_a_stored_schedule_with_neither_is_refused():
    with pytest.raises(InvalidOptionError, match="a cron expression or an interval"):
        make_timetable(None, None, "UTC", 0)
