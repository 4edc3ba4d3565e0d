"""Read durations as people write them: 90, 1.5s, 10m, 2h, 1d."""

from __future__ import annotations

import re

import click

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FORM = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h|d)?", re.ASCII)


def parse_duration(text: str) -> float:
    """Return the seconds; as the type of an option it raises click's error for a wrong value."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        message = f"{text!r} is no duration; write seconds, as 90 or 1.5, or 10m, 2h, 1d"
        raise click.BadParameter(message)
    number, unit = found.groups()
    return float(number) * _SECONDS[unit or ""]
