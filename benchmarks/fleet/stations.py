"""What has to be waited for in a server: cores, the flush of the log, one lock; and the order of events."""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count
from typing import Any, Callable, Deque, List, Optional, Tuple

Then = Callable[[], None]


class Agenda:
    """What happens when; `now` is the time of what happens at present."""

    def __init__(self) -> None:
        self.now = 0.0
        self._entries: List[Tuple[float, int, Callable[..., None], Tuple[Any, ...]]] = []
        self._numbers = count()

    def after(self, seconds: float, then: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._entries, (self.now + seconds, next(self._numbers), then, arguments))

    def run(self, until: float) -> None:
        entries = self._entries
        while entries and entries[0][0] <= until:
            self.now, _, then, arguments = heapq.heappop(entries)
            then(*arguments)
        self.now = until


class Level:
    """How many there are of something, over time."""

    def __init__(self, agenda: Agenda) -> None:
        self.present = 0
        self._agenda = agenda
        self._since = 0.0
        self._seconds = 0.0

    @property
    def seconds(self) -> float:
        """The time of all of them so far: two of them for ten seconds are twenty."""
        return self._seconds + self.present * (self._agenda.now - self._since)

    def change(self, by: int) -> None:
        self._seconds, self._since = self.seconds, self._agenda.now
        self.present += by


class Cores:
    """Some processors, first come, first served."""

    def __init__(self, agenda: Agenda, cores: int) -> None:
        self.busy = Level(agenda)
        self._agenda = agenda
        self._free = cores
        self._waiting: Deque[Tuple[float, Then, Optional[Then]]] = deque()

    def use(self, seconds: float, then: Then, began: Optional[Then] = None) -> None:
        """Call `then` after so much work, and `began` when it begins."""
        self._waiting.append((seconds, then, began))
        if self._free:
            self._begin()

    def _begin(self) -> None:
        self._free -= 1
        seconds, then, began = self._waiting.popleft()
        self.busy.change(1)
        if began is not None:
            began()
        self._agenda.after(seconds, self._end, then)

    def _end(self, then: Then) -> None:
        self.busy.change(-1)
        self._free += 1
        if self._waiting:
            self._begin()
        then()


class Log:
    """The write-ahead log: one flush at a time, for all commits that wait when it begins."""

    def __init__(self, agenda: Agenda, seconds: float) -> None:
        self.busy = Level(agenda)
        self.flushes = 0
        self.commits = 0
        self._agenda = agenda
        self._seconds = seconds
        self._waiting: List[Then] = []
        self._is_flushing = False

    def flush(self, then: Then) -> None:
        self._waiting.append(then)
        if not self._is_flushing:
            self._begin()

    def _begin(self) -> None:
        self._is_flushing = True
        together, self._waiting = self._waiting, []
        self.flushes += 1
        self.commits += len(together)
        self.busy.change(1)
        self._agenda.after(self._seconds, self._end, together)

    def _end(self, together: List[Then]) -> None:
        self.busy.change(-1)
        self._is_flushing = False
        if self._waiting:
            self._begin()
        for then in together:
            then()


class Lock:
    """Held by one at a time, first come, first served."""

    def __init__(self, agenda: Agenda) -> None:
        self.busy = Level(agenda)
        self._is_held = False
        self._waiting: Deque[Then] = deque()

    def acquire(self, then: Then) -> None:
        self._waiting.append(then)
        if not self._is_held:
            self._grant()

    def release(self) -> None:
        self.busy.change(-1)
        self._is_held = False
        if self._waiting:
            self._grant()

    def _grant(self) -> None:
        self._is_held = True
        self.busy.change(1)
        self._waiting.popleft()()
