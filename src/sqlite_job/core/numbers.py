"""Tell a whole number that a database can hold."""

from __future__ import annotations

from typing import Optional


def is_whole(value: object, least: Optional[int] = None) -> bool:
    """Whether `value` is an int (not a bool) that fits 64 bits and is at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return -(2**63) <= value < 2**63 and (least is None or value >= least)
