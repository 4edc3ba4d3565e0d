"""Tell the time: the only module that asks the operating system for it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Callable, Optional, Protocol

MICROSECOND = 1
MILLISECOND = 1_000
SECOND = 1_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# Returns seconds of a clock that never jumps; only differences mean anything. The name alone: it is asked a few times
# for each job, and a function around it would take half as long again.
elapsed: Callable[[], float] = time.monotonic

# Asked instead of the operating system, in microseconds, while a test has a clock of its own (`sqlite_job.testing`).
stand_in: Optional[Callable[[], int]] = None


class Clock(Protocol):
    """Anything that tells the time in integer microseconds since 1970, UTC."""

    def now(self) -> int:
        """Return microseconds since 1970, UTC."""
        ...


class SystemClock:
    """The operating system's wall clock, or the one that stands in for it."""

    def now(self) -> int:
        """Return microseconds since 1970, UTC."""
        return time.time_ns() // 1000 if stand_in is None else stand_in()


class ShiftedClock:
    """A clock that differs from the operating system's, as that of a database on another machine does."""

    def __init__(self, offset: Callable[[], int]) -> None:
        """Ask `offset` each time how many microseconds it is ahead."""
        self._offset = offset

    def now(self) -> int:
        """Return microseconds since 1970, UTC."""
        return time.time_ns() // 1000 + self._offset() if stand_in is None else stand_in()

    def ahead(self) -> int:
        """Return how many microseconds it is ahead of the operating system's."""
        return self._offset()


def ahead_of_system(clock: Clock) -> int:
    """Return how many microseconds a clock is ahead of the operating system's."""
    return clock.ahead() if isinstance(clock, ShiftedClock) else 0


def cpu_seconds() -> float:
    """Return the CPU time that all threads of this process have used; only differences mean anything."""
    return time.process_time()


def pause(seconds: float) -> None:
    """Sleep; for the bounded retries of storage and to let others in, never for waiting on an event."""
    time.sleep(seconds)


def to_datetime(microseconds: int) -> datetime:
    """Return the aware UTC datetime of a stored time."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(moment: datetime) -> int:
    """Return the stored form of an aware datetime.

    Raises ValueError for a naive datetime: its zone would be a guess.
    """
    if moment.utcoffset() is None:
        message = f"{moment!r} has no time zone; give an aware datetime, as datetime.now(timezone.utc)"
        raise ValueError(message)
    return (moment - _EPOCH) // timedelta(microseconds=1)
