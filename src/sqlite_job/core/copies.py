"""Say what a backup or a restore has made, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Copy:
    """A copy of a database that was made and checked; size in bytes.

    `replaced` is where a restore has put what was there before, empty where there was nothing.
    """

    path: str
    size: int
    jobs: int
    replaced: str = ""
