"""Start workers by their systems' own commands, look at what their processes use, stop or kill all of them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Callable, Iterator, List

from benchmarks.child import ROOT
from benchmarks.compare import place as places
from benchmarks.compare.place import Place

_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.002
_PROC = Path("/proc")


class WorkerError(Exception):
    """A worker ended by itself, or did not do its work in time; the message has what it logged."""


class Workers:
    """Each command leads a session of its own, so that every process it starts can be found."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._log: IO[str] = tempfile.TemporaryFile("w+", dir=place.folder)  # noqa: SIM115 - closed by close()
        self._leaders: List[subprocess.Popen[bytes]] = []

    def start(self, command: List[str]) -> None:
        self._leaders.append(
            subprocess.Popen(
                command,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                cwd=str(ROOT),
                env={**places.environment(self._place), "PYTHONPATH": _python_path()},
                start_new_session=True,
            )
        )

    def wait_until(self, is_so: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for a condition; raises WorkerError when a worker has ended, or when it takes too long."""
        deadline = time.monotonic() + seconds
        while not is_so():
            if any(leader.poll() is not None for leader in self._leaders):
                raise WorkerError(f"a worker ended before {what}:\n{self.log()}")
            if time.monotonic() > deadline:
                raise WorkerError(f"not within {seconds:.0f} s: {what}\n{self.log()}")
            time.sleep(_POLL_SECONDS)

    def log(self) -> str:
        self._log.flush()
        self._log.seek(0)
        return self._log.read()[-3000:]

    def cpu_seconds(self) -> float:
        """Return what all their processes have used, in the kernel's ticks of 10 ms."""
        ticks = 0
        for process in self._processes():
            with contextlib.suppress(OSError):
                ticks += sum(int(field) for field in _stat(process)[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def pss_mb(self) -> float:
        """Return the memory of all their processes, what they share counted once."""
        kilobytes = 0
        for process in self._processes():
            with contextlib.suppress(OSError):
                lines = (_PROC / str(process) / "smaps_rollup").read_text(encoding="ascii").splitlines()
                kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return kilobytes * 1024 / 1e6

    def kill(self) -> int:
        """Send SIGKILL to every process at once, as the end of a container does, and return when that was."""
        processes = self._processes()
        at = time.monotonic_ns()
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for leader in self._leaders:
            leader.wait()
        return at

    def close(self) -> None:
        for leader in self._leaders:
            if leader.poll() is None:
                leader.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for leader in self._leaders:
            with contextlib.suppress(subprocess.TimeoutExpired):
                leader.wait(max(0.0, deadline - time.monotonic()))
        self.kill()
        self._log.close()

    def _processes(self) -> List[int]:
        sessions = {leader.pid for leader in self._leaders}
        return [process for process in _all_processes() if _session(process) in sessions]


@contextlib.contextmanager
def start(commands: List[List[str]], place: Place) -> Iterator[Workers]:
    """Start such workers; at the end of the block nothing of them is left."""
    with contextlib.closing(Workers(place)) as workers:
        for command in commands:
            workers.start(command)
        yield workers


def _python_path() -> str:
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def _all_processes() -> List[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _session(process: int) -> int:
    try:
        return int(_stat(process)[3])
    except OSError:
        return -1


def _stat(process: int) -> List[str]:
    """Return the fields of a process's stat file behind its name, which may have anything in it."""
    return (_PROC / str(process) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
