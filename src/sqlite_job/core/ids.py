"""Make job ids: version 7 UUIDs (RFC 9562), so that ids sort by time and their index grows at one end."""

from __future__ import annotations

import os
import threading
from typing import Callable, List

# The bits of the part that counts: the last group of an id, twelve hexadecimal digits.
_COUNT_BITS = 48


class IdMaker:
    """A source of ids that never go back within one process, safe for threads.

    The bits behind the time are random at each new millisecond, and the last 48 of them count up within one (RFC 9562,
    section 6.2, method 1). The text before them is kept, so that an id costs a fifth of a uuid4 made as text.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        """Take a clock in microseconds."""
        self._now = now
        self._start_anew()
        if hasattr(os, "register_at_fork"):
            # A forked child must not count on from its parent's number: both would make the same ids.
            os.register_at_fork(after_in_child=self._start_anew)

    def __call__(self) -> str:
        """Return a new id of 36 characters."""
        return self.made_at(self._now())

    def made_at(self, now: int) -> str:
        """Return a new id for a time that was read already, in microseconds."""
        with self._lock:
            if now // 1000 > self._millisecond:
                self._enter(now // 1000)
            self._count += 1
            return f"{self._start}{self._count:012x}"

    def many_made_at(self, now: int, count: int) -> List[str]:
        """Return so many new ids, each greater than the one before."""
        with self._lock:
            if now // 1000 > self._millisecond:
                self._enter(now // 1000)
            first = self._count + 1
            self._count += count
            return [f"{self._start}{number:012x}" for number in range(first, first + count)]

    def _start_anew(self) -> None:
        self._lock = threading.Lock()  # another thread of the parent may have held it
        last = getattr(self, "_millisecond", 0)
        self._enter(last)

    def _enter(self, millisecond: int) -> None:
        self._millisecond = millisecond
        drawn = int.from_bytes(os.urandom(10), "big")
        version_group = 0x7000 | drawn & 0xFFF
        variant_group = 0x8000 | drawn >> 12 & 0x3FFF
        self._start = f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-{version_group:04x}-{variant_group:04x}-"
        # The top bit starts clear, so that counting cannot run over within one millisecond.
        self._count = drawn >> 26 & (1 << _COUNT_BITS - 1) - 1
