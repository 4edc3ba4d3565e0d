"""Hold on to one job process: start it, give it jobs, tell it to stop, see it end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Callable, Optional

from sqlite_job.core.clock import elapsed
from sqlite_job.core.notes import JobNotes
from sqlite_job.engine.executors.frames import Channel, Message, unpack_notes

# A fresh interpreter that imports the user's modules: seconds on a cold disk.
_START_SECONDS = 60.0

# How long an idle process has to run on_shutdown.
_CLOSE_SECONDS = 5.0

# The path first: the package itself may come from it.
_PROGRAM = (
    "import sys, json; sys.path[:] = json.loads(sys.argv[2]); from sqlite_job.child import main; main(int(sys.argv[1]))"
)

_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6 if hasattr(os, "sysconf") else 0.0


class ChildBrokenError(Exception):
    """The process could not be made ready for jobs: its settings cannot be imported, a hook raised."""


class ChildProcess:
    """A process that runs one job at a time. Started afresh, never forked: threads and connections stay behind."""

    def __init__(self, hello: Message, on_log: Callable[[Message], None], on_notes: Callable[[JobNotes], None]) -> None:
        """Start it and wait until it is ready; raises ChildBrokenError."""
        ours, theirs = socket.socketpair()
        self._on_log = on_log
        self._on_notes = on_notes
        self._channel = Channel(ours)
        with theirs:
            command = [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), json.dumps(sys.path)]
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                command,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal is for the worker, which tells its children
            )
        self.jobs_run = 0
        try:
            self._channel.send(hello)
            answer = self._receive(elapsed() + _START_SECONDS)
        except (EOFError, OSError) as error:
            self.kill()
            raise ChildBrokenError(f"the job process ended while it started: {self.describe_end()}") from error
        if answer[0] != "ready":
            self.kill()
            raise ChildBrokenError(answer[1])

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Tell whether it ended, perhaps while it had nothing to do."""
        return self._process.poll() is not None

    def start_job(self, job: Message) -> None:
        """Give it a job, behind how far the clock is ahead of the system's; raises OSError when it is gone."""
        self.jobs_run += 1
        self._channel.send(job)

    def wait_for_outcome(self, deadline: Optional[float]) -> Message:
        """Return the outcome; raises TimeoutError at the deadline, EOFError when the process ended."""
        try:
            return self._receive(deadline)
        except ConnectionResetError as error:
            raise EOFError from error

    def terminate(self) -> None:
        """Ask the running job to stop."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process, whatever it does, and its children that stayed in its session."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._channel.close()

    def close(self) -> None:
        """Let an idle process end by itself, so that its on_shutdown runs; kill it if it does not."""
        self._channel.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def describe_end(self) -> str:
        """Say how the process ended, once it has."""
        code = self._process.wait()
        if code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {-code}, {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"

    def memory_mb(self) -> float:
        """Return its resident memory in MB; 0 where the system does not tell."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_MB
        except OSError:
            return 0.0

    def _receive(self, deadline: Optional[float]) -> Message:
        while True:
            message = self._channel.receive(deadline)
            if message[0] == "log":
                self._on_log(message[1:])
            elif message[0] == "notes":
                self._on_notes(unpack_notes(*message[1:]))
            else:
                return message

    def _signal(self, number: int) -> None:
        # The group: what the job started in its session goes with it. Not reaped yet, so the pid is still its own.
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
