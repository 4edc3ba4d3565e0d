"""Decide which slots of a schedule are run, when some have passed without a worker."""

from __future__ import annotations

from typing import List, NamedTuple, Optional

from sqlite_job.core.clock import SECOND
from sqlite_job.core.timetables import Timetable, latest_until

# Of "skip": a worker that was replaced in the meantime, or was busy, is not to cost a night's run.
GRACE = 60 * SECOND

# Each transaction is short, whatever has been missed.
MOST_JOBS = 100

# Missed slots are counted one by one: an expression has no other way.
_MOST_COUNTED = 1_000


class DueSlots(NamedTuple):
    """Slots to run now, oldest first, and the one to wait for after them (it may be due, too; None: no more).

    `missed`: how many were dropped, counted up to a thousand.
    """

    slots: List[int]
    next_at: Optional[int]
    missed: int


def due_slots(timetable: Timetable, next_at: int, now: int, misfire: str, max_late: Optional[int]) -> DueSlots:
    """Return what is due of a timetable whose slots before `next_at` are done with, at a time not before it."""
    if max_late is None and misfire == "skip":
        max_late = GRACE
    first: Optional[int] = next_at
    if max_late is not None and next_at < now - max_late:
        first = next(timetable.after(now - max_late - 1), None)
    if first is None or first > now:
        return DueSlots([], first, _count(timetable, next_at, now + 1))
    if misfire == "latest":
        newest = latest_until(timetable, first, now)
        missed = _count(timetable, next_at, newest)
        return DueSlots([newest], next(timetable.after(newest), None), missed)
    slots: List[int] = [first]
    following: Optional[int] = None
    for slot in timetable.after(first):
        if slot > now or len(slots) == MOST_JOBS:
            following = slot
            break
        slots.append(slot)
    return DueSlots(slots, following, _count(timetable, next_at, first))


def _count(timetable: Timetable, first: int, end: int) -> int:
    """Return how many slots there are from `first`, which is one, up to but without `end`."""
    count = 0
    slot: Optional[int] = first
    following = timetable.after(first)
    while slot is not None and slot < end and count < _MOST_COUNTED:
        count += 1
        slot = next(following, None)
    return count
