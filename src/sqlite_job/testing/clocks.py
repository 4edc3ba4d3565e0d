"""Set and move the time that this process's queues believe in, so that a test need not wait for it."""

from __future__ import annotations

import contextlib
import threading
from datetime import datetime
from typing import Iterator, List, Optional, Union

from sqlite_job.core import clock as system
from sqlite_job.core.clock import SECOND, SystemClock, to_datetime, to_microseconds
from sqlite_job.core.retries import Seconds, to_seconds

_installed: List[FakeClock] = []


class FakeClock:
    """A clock that stands still until it is moved; safe to share between threads."""

    def __init__(self, start: Optional[datetime] = None) -> None:
        """Begin at `start`, an aware datetime, or at the present. Raises TypeError or ValueError for anything else."""
        self._lock = threading.Lock()
        self._now = SystemClock().now() if start is None else _moment("start", start)

    def now(self) -> datetime:
        """Return the present moment of this clock, as an aware datetime in UTC."""
        return to_datetime(self._now)

    def advance(self, duration: Seconds) -> datetime:
        """Go forward by seconds or a timedelta, and return the new moment.

        Raises TypeError or ValueError for a duration that is none, or below 0: `move_to` also goes back.
        """
        microseconds = round(to_seconds(duration) * SECOND)
        with self._lock:
            self._now += microseconds
            return to_datetime(self._now)

    def move_to(self, moment: datetime) -> datetime:
        """Go to an aware datetime, before or after the present one, and return it in UTC."""
        microseconds = _moment("moment", moment)
        with self._lock:
            self._now = microseconds
            return to_datetime(self._now)

    def microseconds(self) -> int:
        """Return the present moment as it is stored: microseconds since 1970, UTC."""
        return self._now

    def __repr__(self) -> str:
        """Show the present moment."""
        return f"<FakeClock {self.now().isoformat()}>"


@contextlib.contextmanager
def fake_time(clock: Union[FakeClock, datetime, None] = None) -> Iterator[FakeClock]:
    """Make all queues and workers of this process go by `clock` inside the block, and yield it.

    Takes a FakeClock, the moment at which a new one begins, or nothing for the present. Only what is stored, and
    compared with stored times, follows it: timeouts and waiting keep to real time, and so do other processes.
    """
    own = clock if isinstance(clock, FakeClock) else FakeClock(clock)
    before = system.stand_in
    _installed.append(own)
    system.stand_in = own.microseconds
    try:
        yield own
    finally:
        system.stand_in = before
        _installed.remove(own)


def installed_clock() -> Optional[FakeClock]:
    """Return the clock of the innermost `fake_time` block, or None outside of any."""
    return _installed[-1] if _installed else None


def _moment(what: str, moment: object) -> int:
    if not isinstance(moment, datetime):
        example = "datetime(2030, 1, 31, tzinfo=timezone.utc)"
        raise TypeError(f"{what} is an aware datetime, as {example}, not {moment!r}")
    return to_microseconds(moment)
