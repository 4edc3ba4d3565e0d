"""See who holds locks on the files of a database: Linux lists them in /proc/locks.

Processes of other containers are not listed, or not by a number that means anything here.
"""

from __future__ import annotations

import os
import re
from typing import Iterable, Iterator, List, NamedTuple, Optional, Tuple

from sqlite_job.storage.files import read_of_system

_LOCKS = "/proc/locks"

# ordinal: kind, mandatory or not, mode, pid, device and inode, first and last byte. One that waits has "->" before it.
_LINE = re.compile(r"\d+: (\w+) +\w+ +(READ|WRITE) +(-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) (\d+) (\d+|EOF) *")

# The bytes of the -shm that SQLite locks (its documentation of the wal-index): one for the writer, five for readers.
_WRITER_BYTE = 120
_READER_BYTES = range(123, 128)

File = Tuple[int, int, int]


class HeldLock(NamedTuple):
    """A lock on some bytes of a file; `last` is None where it goes on to the end."""

    kind: str
    is_exclusive: bool
    pid: int
    file: File
    first: int
    last: Optional[int]

    def covers(self, positions: Iterable[int]) -> bool:
        """Whether it is on one of these bytes."""
        return any(self.first <= position and (self.last is None or position <= self.last) for position in positions)


def parse_locks(text: str) -> Iterator[HeldLock]:
    """Read the text of /proc/locks (proc_locks(5)), without those who wait."""
    for line in filter(None, map(_LINE.fullmatch, text.split("\n"))):
        kind, mode, pid, major, minor, inode, first, last = line.groups()
        file = (int(major, 16), int(minor, 16), int(inode))
        yield HeldLock(kind, mode == "WRITE", int(pid), file, int(first), None if last == "EOF" else int(last))


def gate_holders(path: str) -> List[int]:
    """Return the processes that are inside the gate of a database."""
    return _pids(lock for lock in _locks_on(f"{path}-gate") if lock.kind == "FLOCK")


def writers(path: str) -> List[int]:
    """Return the processes in a write transaction."""
    return _pids(lock for lock in _locks_on(f"{path}-shm") if lock.is_exclusive and lock.covers([_WRITER_BYTE]))


def readers(path: str) -> List[int]:
    """Return the processes in a read transaction."""
    return _pids(lock for lock in _locks_on(f"{path}-shm") if lock.covers(_READER_BYTES))


def users(path: str) -> List[int]:
    """Return the processes that have the database open."""
    return _pids(_locks_on(path))


def describe(pids: Iterable[int]) -> str:
    """Return processes as text for people, "somebody" when none can be seen."""
    named = [f"process {pid} ({read_of_system(f'/proc/{pid}/comm').strip() or 'unknown'})" for pid in pids]
    return " and ".join(named) or "somebody who cannot be seen from here"


def _locks_on(path: str) -> Iterator[HeldLock]:
    try:
        found = os.stat(path)
    except OSError:
        return
    file = (os.major(found.st_dev), os.minor(found.st_dev), found.st_ino)
    yield from (lock for lock in parse_locks(read_of_system(_LOCKS)) if lock.file == file)


def _pids(locks: Iterable[HeldLock]) -> List[int]:
    return sorted({lock.pid for lock in locks if lock.pid > 0} - {os.getpid()})
