"""Find time zones by name, and tell what their clocks show at a moment, in stored times (microseconds, UTC)."""

from __future__ import annotations

import sys
from datetime import datetime, timezone, tzinfo
from typing import NamedTuple, Optional

from sqlite_job.core.clock import SECOND, to_datetime
from sqlite_job.core.errors import InvalidOptionError, did_you_mean

_HOUR = 3600 * SECOND

# No zone changes its offset twice within this time.
_STEP = 6 * _HOUR

_MICROSECONDS_PER_DAY = 24 * _HOUR


def find_zone(name: object) -> Zone:
    """Return a zone of the IANA database, as "Europe/Paris"; raises InvalidOptionError with what was perhaps meant."""
    if isinstance(name, tzinfo):
        name = "UTC" if name is timezone.utc else getattr(name, "key", None) or name
    if not isinstance(name, str):
        raise InvalidOptionError(f"timezone is a name, as 'Europe/Paris', not {name!r}")
    if name == "UTC":  # needs no database of zones, which a slim container may lack
        return Zone(name, timezone.utc)
    if sys.version_info >= (3, 9):
        from zoneinfo import ZoneInfo, available_timezones
    else:
        from backports.zoneinfo import ZoneInfo, available_timezones

    try:
        return Zone(name, ZoneInfo(name))  # type: ignore[abstract,unused-ignore] # so the stubs of the backport have it
    except Exception:  # noqa: BLE001 - a KeyError, ValueError or OSError, as the name and the system have it
        known = available_timezones()
        mend = did_you_mean(name, known) if known else "; this system has no time zones: pip install tzdata"
        raise InvalidOptionError(f"no time zone {name!r}{mend}") from None


class Zone(NamedTuple):
    """A time zone; walls are naive datetimes, as its clocks show them."""

    name: str
    info: tzinfo

    def offset(self, moment: int) -> int:
        """Return by how much its clocks are ahead of UTC at a moment, in microseconds."""
        offset = to_datetime(moment).astimezone(self.info).utcoffset()
        assert offset is not None  # noqa: S101 - an aware datetime has one
        return (offset.days * 86_400 + offset.seconds) * SECOND + offset.microseconds

    def wall(self, moment: int) -> datetime:
        """Return what its clocks show at a moment."""
        return to_datetime(moment).astimezone(self.info).replace(tzinfo=None)

    def first_moment(self, wall: datetime) -> int:
        """Return when its clocks show this for the first time; where they skip it, the moment of the skip."""
        early = _utc(wall) - self._offset_of(wall, fold=0)
        if self.info is timezone.utc or self.wall(early) == wall:
            return early
        # Inside a gap the offset from before leads behind it, and the one from after it leads before it.
        change = self.change_between(_utc(wall) - self._offset_of(wall, fold=1), early)
        return early if change is None else change

    def change_between(self, start: int, end: int) -> Optional[int]:
        """Return the first moment in (start, end] whose offset is not that of `start`, or None."""
        if self.info is timezone.utc:
            return None
        offset = self.offset(start)
        while start < end:
            probe = min(start + _STEP, end)
            if self.offset(probe) != offset:
                return self._first_changed(start, probe, offset)
            start = probe
        return None

    def _first_changed(self, same: int, other: int, offset: int) -> int:
        while other - same > 1:
            middle = (same + other) // 2
            if self.offset(middle) == offset:
                same = middle
            else:
                other = middle
        return other

    def _offset_of(self, wall: datetime, fold: int) -> int:
        offset = wall.replace(tzinfo=self.info, fold=fold).utcoffset()
        assert offset is not None  # noqa: S101 - an aware datetime has one
        return (offset.days * 86_400 + offset.seconds) * SECOND + offset.microseconds


def shift(wall: datetime, offset: int) -> int:
    """Return the moment at which clocks that are ahead by `offset` show this."""
    return _utc(wall) - offset


def _utc(wall: datetime) -> int:
    since = wall - _EPOCH
    return since.days * _MICROSECONDS_PER_DAY + since.seconds * SECOND + since.microseconds


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of walls, which are naive
