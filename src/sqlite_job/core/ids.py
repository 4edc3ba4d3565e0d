"""Make job ids: version 7 UUIDs (RFC 9562), so that ids sort by time and their index grows at one end."""

from __future__ import annotations

import os
import threading
from typing import Callable

# The variant, the two bits in front of the 62 that count.
_VARIANT = 0b10 << 62


class IdMaker:
    """A source of ids that never go back within one process, safe for threads.

    The bits behind the time are random at each new millisecond and count up within one (RFC 9562, section 6.2,
    method 2). The text before the counted part is kept, so that an id costs a quarter of a uuid4 made as text.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        """Take a clock in microseconds."""
        self._now = now
        self._lock = threading.Lock()
        self._pid = 0
        self._millisecond = 0
        self._start = ""
        self._count = 0

    def __call__(self) -> str:
        """Return a new id of 36 characters."""
        return self.made_at(self._now())

    def made_at(self, now: int) -> str:
        """Return a new id for a time that was read already, in microseconds."""
        millisecond = now // 1000
        with self._lock:
            if millisecond > self._millisecond or self._pid != os.getpid():
                self._restart(max(millisecond, self._millisecond))
            self._count += 1
            end = f"{self._count:x}"
            return f"{self._start}{end[:4]}-{end[4:]}"

    def _restart(self, millisecond: int) -> None:
        # A forked child must not count on from its parent's number: both would make the same ids.
        self._pid = os.getpid()
        self._millisecond = millisecond
        drawn = int.from_bytes(os.urandom(10), "big")
        self._start = f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-7{drawn & 0xFFF:03x}-"
        # The top bit of the count starts clear, so that it cannot run over within one millisecond.
        self._count = _VARIANT | drawn >> 19
