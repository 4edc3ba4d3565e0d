"""Be a job process: load the settings, run one job after the other, end with the worker."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from types import FrameType
from typing import Any, Awaitable, Optional

from sqlite_job.core.clock import Clock, ShiftedClock
from sqlite_job.core.jobs import ClaimedJob
from sqlite_job.core.outcomes import Outcome, Returned
from sqlite_job.core.stopping import Stop, StopCause, StopRequested
from sqlite_job.engine.executors.frames import Channel, pack_notes, pack_outcome
from sqlite_job.engine.failures import report_failure
from sqlite_job.engine.hooks import Hooks
from sqlite_job.engine.notebook import Notebook
from sqlite_job.engine.parenthood import die_with_parent
from sqlite_job.engine.runner import Runner
from sqlite_job.settings import WorkerSettings
from sqlite_job.settings_address import Address, load_settings
from sqlite_job.wiring import capturing_if_wanted, make_runner

# Between two messages of notes: with the half second of the worker, what a job says is there within a second.
_NOTES_PAUSE_SECONDS = 0.25

_logger = logging.getLogger("sqlite_job")


def main(descriptor: int) -> None:
    """Serve the worker at the other end of this socket until it closes it."""
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=descriptor))
    _, module, qualname, file, location, level = channel.receive()
    if not die_with_parent(parent, signal.SIGKILL):
        sys.exit(1)
    _send_logs(channel, level)
    try:
        settings = load_settings(Address(module, qualname, file), location)
        loop = _MainThreadLoop()
        hooks = Hooks(settings.hooks, lambda: loop)
        hooks.call("on_startup")
    except BaseException as error:  # noqa: BLE001 - whatever it is, the worker must hear of it
        report = report_failure(error, 0)
        channel.send(
            ("broken", f"a job process could not start: {report.error_type}: {report.message}\n{report.traceback}")
        )
        sys.exit(1)
    try:
        with capturing_if_wanted(settings):
            _JobProcess(channel, settings, hooks, loop).serve()
    finally:
        hooks.call("on_shutdown")


class _JobProcess:
    """The one job that runs here, and the signal that stops it."""

    def __init__(self, channel: Channel, settings: WorkerSettings, hooks: Hooks, loop: _MainThreadLoop) -> None:
        self._channel = channel
        self._tasks = settings.registry.tasks
        # Told by the worker with each job: a process asks no database for the time.
        self._ahead = 0
        clock = ShiftedClock(lambda: self._ahead)
        self._notes = _NotesToWorker(channel, clock)
        self._runner: Runner = make_runner(settings, hooks, clock, self._notes.notebook)
        self._loop = loop
        self._stop = Stop()
        self._is_running = False
        self._was_told_early = False
        signal.signal(signal.SIGTERM, self._stop_job)

    def serve(self) -> None:
        """Run what comes, until the worker is gone."""
        with contextlib.suppress(EOFError, ConnectionError):
            self._channel.send(("ready",))
            while True:
                self._ahead, *fields = self._channel.receive()
                outcome = self._run(ClaimedJob(*fields))
                self._notes.send()  # before the outcome: the worker writes both in one transaction
                self._channel.send(("done", *pack_outcome(outcome)))
        self._notes.close()

    def _run(self, job: ClaimedJob) -> Outcome:
        self._stop = Stop()
        try:
            self._is_running = True
            if self._was_told_early:  # the signal overtook the job
                return Returned(job.seq, job.claim_number)
            if self._tasks[job.function].is_coroutine:
                outcome: Outcome = self._loop.run(self._runner.run_async(job, self._stop))
            else:
                outcome = self._runner.run(job, self._stop)
            self._is_running = False
        except StopRequested:  # it came when the job had just ended
            outcome = Returned(job.seq, job.claim_number)
        return outcome

    def _stop_job(self, _number: int, _frame: Optional[FrameType]) -> None:
        # The worker knows why: what this process says of it is not used.
        if not self._is_running:
            self._was_told_early = True
            return
        if not self._stop.set(StopCause.SHUTDOWN):
            return
        self._is_running = False
        if not self._loop.cancel_current():
            raise StopRequested


class _MainThreadLoop:
    """An event loop in the main thread, where signals arrive."""

    def __init__(self) -> None:
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._task: Optional[asyncio.Task[Any]] = None

    def run(self, awaitable: Awaitable[Any]) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        if threading.current_thread() is not threading.main_thread():
            return asyncio.run_coroutine_threadsafe(_as_coroutine(awaitable), self._loop).result()
        self._task = self._loop.create_task(_as_coroutine(awaitable))
        try:
            return self._loop.run_until_complete(self._task)
        finally:
            self._task = None

    def cancel_current(self) -> bool:
        """Cancel what runs on the loop; False when nothing does."""
        if self._task is None or self._loop is None:
            return False
        self._loop.call_soon_threadsafe(self._task.cancel)
        return True


class _NotesToWorker:
    """Sends the worker what the job says of itself, now and then, from a thread that the first job to speak starts."""

    def __init__(self, channel: Channel, clock: Clock) -> None:
        self._channel = channel
        self.notebook = Notebook(self._wake, clock)
        self._is_wanted = threading.Event()
        self._is_closed = threading.Event()
        self._thread: Optional[threading.Thread] = None
        # Taken before the notebook is: else the thread could send what it took after a newer note, or the outcome.
        self._sending = threading.Lock()

    def send(self) -> None:
        """Send what there is."""
        if self.notebook.is_empty and self._thread is None:
            return
        with self._sending, contextlib.suppress(OSError):  # the worker is gone: nobody reads them
            for notes in self.notebook.take():
                self._channel.send(("notes", *pack_notes(notes)))

    def close(self) -> None:
        """End the thread."""
        self._is_closed.set()
        self._is_wanted.set()

    def _wake(self) -> None:
        self._is_wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="sqlite-job-notes", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while not self._is_closed.wait(_NOTES_PAUSE_SECONDS):
            self._is_wanted.wait()
            self._is_wanted.clear()
            self.send()


class _LogsToWorker(logging.Handler):
    """Sends log records to the worker as text, so that they end where the worker's own do."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # the worker is gone: nobody reads them
            self._channel.send(("log", record.name, record.levelno, self.format(record)))


def _send_logs(channel: Channel, level: int) -> None:
    root = logging.getLogger()
    root.addHandler(_LogsToWorker(channel))
    root.setLevel(level)
    logging.getLogger("sqlite_job").setLevel(level)


async def _as_coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable
