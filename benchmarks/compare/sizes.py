"""How much each comparison does."""

from __future__ import annotations

from typing import NamedTuple


class Sizes(NamedTuple):
    """`drain_seconds` times a system's pace is how many jobs it is given, within the bounds."""

    rounds: int = 3
    enqueue_seconds: float = 0.8
    drain_seconds: float = 1.5
    least_jobs: int = 300
    latencies: int = 30
    idle_seconds: float = 2.5
    kill_jobs: int = 100
    kill_seconds: float = 30.0


FULL = Sizes()

# For a look: one round of it takes a few minutes, and the figures scatter more.
QUICK = Sizes(rounds=1, enqueue_seconds=0.5, drain_seconds=0.7, latencies=20, idle_seconds=2.0, kill_seconds=15.0)

# For the test of the comparison itself: the figures mean nothing.
TINY = Sizes(
    rounds=1,
    enqueue_seconds=0.05,
    drain_seconds=0.01,
    least_jobs=60,
    latencies=3,
    idle_seconds=0.1,
    kill_jobs=24,
    kill_seconds=20.0,
)
