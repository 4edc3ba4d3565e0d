"""Which slots are run when some have passed: checked against a plain list of them."""

from __future__ import annotations

from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqlite_job.core.clock import SECOND
from sqlite_job.core.slots import GRACE, MOST_JOBS, due_slots
from sqlite_job.core.timetables import Interval


class Once:
    """A timetable that ends."""

    def __init__(self, *slots):
        self.slots = slots

    def after(self, moment):
        return (slot for slot in self.slots if slot > moment)


def drain(timetable, next_at, now, misfire, max_late=None):
    """Fire again and again, as workers do, until nothing is due; return all that was run, and all that was missed."""
    ran, missed = [], 0
    while next_at is not None and next_at <= now:
        due = due_slots(timetable, next_at, now, misfire, max_late)
        assert len(due.slots) <= MOST_JOBS
        assert due.next_at is None or due.next_at > next_at
        ran += due.slots
        missed += due.missed
        next_at = due.next_at
    return ran, missed, next_at


@given(
    st.sampled_from(["skip", "latest", "all"]),
    st.integers(1, 200),
    st.integers(0, 900),
    st.integers(0, 100),
    st.none() | st.integers(0, 2000),
)
def test_each_due_slot_is_run_or_missed_and_the_next_one_is_to_come(misfire, interval, passed, rest, max_late):
    timetable = Interval(interval * SECOND, 0)
    now = (passed * interval + rest % interval + interval) * SECOND
    slots = list(takewhile(lambda slot: slot <= now, timetable.after(0)))
    oldest = now - (GRACE if max_late is None and misfire == "skip" else (max_late or 0) * SECOND)
    if max_late is None and misfire != "skip":
        oldest = 0
    in_time = [slot for slot in slots if slot >= oldest]

    ran, missed, next_at = drain(timetable, slots[0], now, misfire, None if max_late is None else max_late * SECOND)

    assert ran == (in_time[-1:] if misfire == "latest" else in_time)
    assert missed == len(slots) - len(ran)
    assert next_at == slots[-1] + interval * SECOND


def test_a_late_slot_within_the_grace_is_run_by_default():
    timetable = Interval(24 * 3600 * SECOND, 0)
    slot = next(timetable.after(0))

    assert due_slots(timetable, slot, slot + GRACE, "skip", None).slots == [slot]
    assert due_slots(timetable, slot, slot + GRACE + 1, "skip", None) == ([], 2 * slot, 1)


@pytest.mark.parametrize("misfire", ["skip", "latest", "all"])
def test_a_timetable_may_end(misfire):
    assert due_slots(Once(10, 20), 10, 15, misfire, None) == ([10], 20, 0)
    assert due_slots(Once(10, 20), 20, 25, misfire, None) == ([20], None, 0)
    assert due_slots(Once(10), 10, 10 + 2 * GRACE, misfire, 5) == ([], None, 1)


def test_what_was_missed_in_a_year_is_counted_up_to_a_thousand():
    year = 365 * 24 * 3600 * SECOND
    due = due_slots(Interval(SECOND, 0), SECOND, year, "latest", None)

    assert (due.slots, due.next_at, due.missed) == ([year], year + SECOND, 1000)
