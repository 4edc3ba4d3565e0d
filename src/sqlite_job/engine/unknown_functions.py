"""Warn of jobs that wait for functions which nobody here has."""

from __future__ import annotations

from typing import Sequence, Set, Tuple

from sqlite_job.core.clock import elapsed
from sqlite_job.core.errors import did_you_mean
from sqlite_job.core.events import Events, FunctionUnknown
from sqlite_job.storage.interface import Storage, Wanted

# Seconds between looks: each scans what waits for others.
_LOOK_SECONDS = 5.0


class UnknownFunctions:
    """Looks now and then, and tells of each name once."""

    def __init__(self, storage: Storage, queues: Tuple[str, ...], functions: Sequence[str], events: Events) -> None:
        """Look into these queues for what is not among `functions`."""
        self._storage = storage
        self._wanted = Wanted(queues, tuple(functions), 0)
        self._events = events
        self._warned: Set[str] = set()
        self._next_look = 0.0

    def look(self) -> None:
        """Look, if it is time."""
        if elapsed() < self._next_look:
            return
        self._next_look = elapsed() + _LOOK_SECONDS
        for name in self._storage.unknown_functions(self._wanted):
            if name not in self._warned:
                self._warned.add(name)
                self._events.emit(FunctionUnknown(name, did_you_mean(name, self._wanted.functions)))
