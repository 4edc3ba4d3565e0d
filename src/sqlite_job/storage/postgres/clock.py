"""Measure how far the server's clock is ahead of this machine's: all times that are compared are the server's."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import psycopg

from sqlite_job.core.clock import SystemClock, elapsed

# Clocks drift by some milliseconds an hour, and are set now and then.
_AGAIN_SECONDS = 60.0

_SAMPLES = 3

_ASK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


class ServerClock:
    """Knows the difference between two clocks, as exactly as a round trip is short."""

    def __init__(self) -> None:
        """Believe both to be the same until they are compared."""
        self._system = SystemClock()
        self._asked_at: Optional[float] = None
        self.is_known = False
        self.offset = 0

    def now(self) -> int:
        """Return the server's time, in microseconds since 1970."""
        return self._system.now() + self.offset

    def is_due(self) -> bool:
        """Whether it is time to compare them again."""
        return self._asked_at is None or elapsed() - self._asked_at > _AGAIN_SECONDS

    def begin(self) -> None:
        """Let nobody else find it due."""
        self._asked_at = elapsed()

    def compare(self, connection: psycopg.Connection[Any]) -> None:
        """Ask the server some times, and believe the quickest answer; outside of any transaction."""
        self.begin()
        samples = [self._sample(connection) for _ in range(_SAMPLES)]
        self.offset = min(samples)[1]
        self.is_known = True

    def _sample(self, connection: psycopg.Connection[Any]) -> Tuple[float, int]:
        began = elapsed()
        before = self._system.now()
        row = connection.execute(_ASK).fetchone()
        took = elapsed() - began
        assert row is not None  # noqa: S101 - a SELECT without FROM has one row
        return took, int(row[0]) - before - round(took * 500_000)
