"""Write down which job started and ended when, in which process, apart from any queue.

One write to a file in memory for each: it costs every system the same microseconds, and stands when the process is
killed in the next instant.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from pathlib import Path
from typing import List, NamedTuple, Set

_RECORD = struct.Struct("=cIIq")

_POLL_SECONDS = 0.001


class Entry(NamedTuple):
    """`at` is in nanoseconds of the machine's monotonic clock."""

    has_ended: bool
    process: int
    number: int
    at: int


class Ledger:
    """A file that all workers append to, and a gate that holds their first jobs until all of them are there."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._gate = Path(f"{path}.gate")
        self._ready = Path(f"{path}.ready")
        self._process = self._descriptor = 0
        self._is_open = False

    def start(self, number: int) -> None:
        """Say that a job starts; a process's first ones wait at the gate."""
        while not self._is_open and not self._look():
            time.sleep(_POLL_SECONDS)
        self._write(b"S", number)

    async def astart(self, number: int) -> None:
        """Do the same without holding up the event loop: heartbeats and timers go on while a job waits at the gate."""
        while not self._is_open and not self._look():  # noqa: ASYNC110 - another process opens it
            await asyncio.sleep(_POLL_SECONDS)
        self._write(b"S", number)

    def end(self, number: int) -> None:
        self._write(b"E", number)

    def open_gate(self) -> int:
        """Let the jobs go, and return when that was."""
        at = time.monotonic_ns()
        self._gate.touch()
        return at

    def ready(self) -> Set[str]:
        """Return which processes have a job in hand."""
        return {made.name for made in self._path.parent.glob(f"{self._ready.name}-*")}

    def count(self) -> int:
        return self._path.stat().st_size // _RECORD.size if self._path.exists() else 0

    def read(self) -> List[Entry]:
        if not self._path.exists():
            return []
        written = self._path.read_bytes()
        whole = written[: len(written) // _RECORD.size * _RECORD.size]
        return [Entry(what == b"E", *rest) for what, *rest in _RECORD.iter_unpack(whole)]

    def _write(self, what: bytes, number: int) -> None:
        process = os.getpid()
        if process != self._process:  # the first time, or behind a fork
            self._descriptor = os.open(str(self._path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            self._process = process
        os.write(self._descriptor, _RECORD.pack(what, process, number, time.monotonic_ns()))

    def _look(self) -> bool:
        """Return whether the gate is open; if not, say that this process has a job in hand."""
        self._is_open = self._gate.exists()
        if not self._is_open:
            Path(f"{self._ready}-{os.getpid()}").touch()
        return self._is_open
