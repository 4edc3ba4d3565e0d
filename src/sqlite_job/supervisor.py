"""Keep several workers running: start them, restart what dies, pass on signals, recycle the old and the fat.

Each worker is a fresh process of its own command line. Works as process 1 of a container: it answers signals and
reaps every process that is left to it.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Callable, Dict, NamedTuple, Optional, Sequence

from sqlite_job.core.clock import elapsed
from sqlite_job.core.errors import DatabaseError
from sqlite_job.settings import WorkerSettings
from sqlite_job.storage.opening import clock_of, open_storage
from sqlite_job.telemetry.log import configure_logging
from sqlite_job.worker import SUPERVISED_VARIABLE

logger = logging.getLogger("sqlite_job")

# The exit code when workers die as soon as they start, again and again: EX_TEMPFAIL of sysexits.h.
GAVE_UP = 75

# A worker that lives this long was well when it started.
_HEALTHY_SECONDS = 10.0

# The waits between restarts of workers that die young: 0.1 s at first, doubled each time.
_FIRST_BACKOFF, _LAST_BACKOFF = 0.1, 5.0

# After so many young deaths in a row, some 20 seconds, nothing will help but a person.
_MOST_YOUNG_DEATHS = 10

_LOOK_SECONDS = 0.5
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


class Recycling(NamedTuple):
    """When a worker is stopped cleanly and replaced, though it works; None: never."""

    max_age_seconds: Optional[float] = None
    max_rss_mb: Optional[float] = None


_NEVER = Recycling()


class Supervisor:
    """Runs `processes` workers with one command each, until SIGTERM or SIGINT."""

    def __init__(
        self,
        command: Sequence[str],
        processes: int,
        settings: WorkerSettings,
        *,
        recycling: Recycling = _NEVER,
        has_changed: Optional[Callable[[], bool]] = None,
    ) -> None:
        """Start workers by `command`; `settings` say whose jobs to free when one dies.

        `has_changed` is asked twice a second whether all workers must be replaced (files changed).
        """
        self._command = list(command)
        self._processes = processes
        self._settings = settings
        self._recycling = recycling
        self._has_changed = has_changed
        self._workers: Dict[int, _Worker] = {}
        self._young_deaths = 0
        self._start_at = 0.0
        self._stops = 0
        self._must_recycle = False
        self._wake_read, self._wake_write = os.pipe()

    def run(self) -> int:
        """Supervise until told to stop; returns 0, or GAVE_UP."""
        configure_logging()
        os.set_blocking(self._wake_write, False)
        before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        wakeup = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            return self._supervise()
        finally:
            self._end_all()
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _supervise(self) -> int:
        stops = 0
        while True:
            self._reap()
            if self._stops > stops:
                stops = self._stops
                self._tell_all()
            if self._stops and not self._workers:
                return 0
            if self._young_deaths >= _MOST_YOUNG_DEATHS:
                logger.critical(
                    "Giving up: workers ended %d times right after their start; see their messages above",
                    self._young_deaths,
                )
                return GAVE_UP
            if not self._stops:
                self._start_missing()
                self._recycle()
            self._sleep()

    def _note(self, number: int, _frame: Optional[FrameType]) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stops += 1
        elif number == signal.SIGHUP:
            self._must_recycle = True

    def _sleep(self) -> None:
        seconds = _LOOK_SECONDS
        if len(self._workers) < self._processes and not self._stops:
            seconds = min(seconds, max(self._start_at - elapsed(), 0.01))
        if select.select([self._wake_read], [], [], seconds)[0]:
            os.read(self._wake_read, 4096)

    def _start_missing(self) -> None:
        while len(self._workers) < self._processes and elapsed() >= self._start_at:
            # A session of its own: Ctrl-C in the terminal is for the supervisor, which passes it on.
            process = subprocess.Popen(  # noqa: S603 - ourselves
                self._command,
                env={**os.environ, SUPERVISED_VARIABLE: str(os.getpid())},
                start_new_session=True,
            )
            self._workers[process.pid] = _Worker(process)

    def _reap(self) -> None:
        """Notice what has ended; as process 1 also what others left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            worker = self._workers.pop(pid, None)
            if worker is not None:
                worker.process.returncode = code = _exit_code(status)
                self._ended(worker, code)

    def _ended(self, worker: _Worker, code: int) -> None:
        if code == 0:
            self._young_deaths = 0
            return
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        logger.error("Worker process %d ended: %s", worker.process.pid, how)
        self._free_jobs()
        if elapsed() - worker.started_at >= _HEALTHY_SECONDS:
            self._young_deaths = 0
            return
        self._young_deaths += 1
        self._start_at = elapsed() + min(_FIRST_BACKOFF * 2 ** (self._young_deaths - 1), _LAST_BACKOFF)

    def _free_jobs(self) -> None:
        """Let the jobs of the dead run again at once, instead of within the second that other workers take."""
        settings = self._settings
        storage = open_storage(settings.location, settings.durability, allow_network_fs=settings.allow_network_fs)
        try:
            storage.rescue(clock_of(settings.location).now(), settings.max_deaths)
        except DatabaseError as error:
            logger.error("The jobs of the dead worker could not be freed: %s", error)  # noqa: TRY400 - it says all
        finally:
            storage.close()

    def _recycle(self) -> None:
        is_for_all = self._must_recycle or (self._has_changed is not None and self._has_changed())
        self._must_recycle = False
        for worker in self._workers.values():
            if is_for_all or worker.is_due(self._recycling):
                worker.stop()

    def _tell_all(self) -> None:
        for worker in self._workers.values():
            worker.send(signal.SIGTERM)

    def _end_all(self) -> None:
        for worker in self._workers.values():
            worker.send(signal.SIGKILL)
            worker.process.wait()


class _Worker:
    """A worker process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.started_at = elapsed()
        self._was_told = False

    def send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def stop(self) -> None:
        """Let it end cleanly, once."""
        if not self._was_told:
            self._was_told = True
            self.send(signal.SIGTERM)

    def is_due(self, recycling: Recycling) -> bool:
        if recycling.max_age_seconds is not None and elapsed() - self.started_at > recycling.max_age_seconds:
            return True
        return recycling.max_rss_mb is not None and self._rss_mb() > recycling.max_rss_mb

    def _rss_mb(self) -> float:
        try:
            statm = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii")
        except OSError:  # no Linux, or it has just ended
            return 0.0
        return int(statm.split()[1]) * _PAGE_MB


def _exit_code(status: int) -> int:
    # os.waitstatus_to_exitcode came with Python 3.9.
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
