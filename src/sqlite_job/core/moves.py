"""Say what a move has moved, and how far it has come, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping


@dataclass(frozen=True)
class Moved:
    """A queue that was moved, compared row by row on both sides.

    `rows` counts the rows of each table, by its name; `checksum` is one of all that was moved, the same on both sides.
    """

    source: str
    target: str
    jobs: int
    rows: Mapping[str, int]
    checksum: str


@dataclass(frozen=True)
class TakenBack:
    """A move that was undone: the queue is used at the source again."""

    source: str
    target: str


@dataclass(frozen=True)
class MoveProgress:
    """How far a step of a move has come, in rows; `message` is the step, "copying" or "comparing"."""

    done: int
    total: int
    message: str
