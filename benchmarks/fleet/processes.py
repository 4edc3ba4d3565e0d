"""Ask the kernel what the processes of a server have used. Linux only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, List

from tools.postgres_server import PostgresServer


class Cost:
    """The CPU time of all processes of a server, for one of several operations."""

    def __init__(self, server: PostgresServer) -> None:
        assert server.pid is not None
        self._postmaster = server.pid

    def of(self, count: int, operation: Callable[[], Any]) -> float:
        """Return the microseconds of one."""
        before = self.spent()
        for _ in range(count):
            operation()
        return (self.spent() - before) / count * 1e6

    def spent(self) -> float:
        """Return the seconds so far."""
        processes = [self._postmaster, *_children(self._postmaster)]
        return sum(map(cpu_seconds, processes)) + _seconds_of_the_ended(self._postmaster)


def cpu_seconds(pid: int) -> float:
    """Return the seconds that a process has run, 0 for one that has ended."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def _seconds_of_the_ended(pid: int) -> float:
    """Return the seconds that a process's ended children have run."""
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> List[int]:
    return [child for child in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(child) == pid]  # noqa: PTH208


def _parent(pid: int) -> int:
    try:
        return int(_stat(pid)[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _stat(pid: int) -> List[str]:
    """Return what stands behind the name of a process."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()


def megabytes(pid: int) -> float:
    """Return the megabytes that are a process's own, and its part of what it shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
