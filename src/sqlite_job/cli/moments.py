"""Show times to people: ages in tables, and moments in their own time zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Optional

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))


def format_age(moment: datetime, now: datetime) -> str:
    """Return how long ago a moment was, in its largest unit: 5s, 3m, 2h, 4d."""
    seconds = max(int((now - moment).total_seconds()), 0)
    return next((f"{seconds // size}{unit}" for size, unit in _UNITS if seconds >= size), f"{seconds}s")


def format_moment(moment: datetime) -> str:
    """Return a moment in the time zone of this machine."""
    return moment.astimezone().isoformat(" ", timespec="milliseconds")


def format_span(start: Optional[datetime], end: Optional[datetime]) -> str:
    """Return how long something took, or nothing where that is not known."""
    if start is None or end is None:
        return ""
    span = max(end - start, timedelta())
    if span < timedelta(seconds=1):
        return f"{span / timedelta(milliseconds=1):.1f} ms"
    if span < timedelta(minutes=1):
        return f"{span.total_seconds():.2f} s"
    return str(timedelta(seconds=round(span.total_seconds())))
