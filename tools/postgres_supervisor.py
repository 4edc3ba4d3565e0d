"""Keep one PostgreSQL server for the process that starts this script, and take it away when that process ends.

`tools/postgres_server.py` starts it, with one JSON object as its argument. Each line of standard input is then a
command, `[verb, argument]`; each answer is a line `{"answer": ...}` or `{"error": text}`. When the input ends, or the
owner is no longer the parent, however it died, the server is stopped at once and its folder is removed.
"""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Callable, Dict, Iterator, List, Optional

START_SECONDS = 60.0
STOP_SECONDS = 30.0
REMOVE_SECONDS = 5.0
LOOK_SECONDS = 0.02
# A process that the owner forked holds the pipe open after the owner's death: so its pid is looked at, too.
OWNER_SECONDS = 0.5
# Below the ports that systems give to outgoing connections: nobody takes the port while the server is stopped.
PORTS = range(15000, 32000)
SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
LOG_LINES = 25
# What passes by itself: the processes of a server that was killed may live on for a moment.
PASSING = ("is still in use", "pre-existing shared memory block")
PORT_TAKEN = "Address already in use"
PR_SET_PDEATHSIG = 1


class ServerError(Exception):
    """The server did not do what it was told; the text has the end of its log."""


class Server:
    """One data folder in a temporary folder, and the server that runs in it."""

    def __init__(self, user: Optional[str], binaries: str, parent: Optional[str]) -> None:
        """Make the folder, for this user to write into: PostgreSQL refuses to run as root."""
        self.folder = Path(tempfile.mkdtemp(prefix="sqlitejob-postgres-", dir=parent))
        self._binaries = Path(binaries)
        self._data = self.folder / "data"
        self._log = self.folder / "log"
        self._log_start = 0
        self._port = 0
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._become_its_user = child_of(user)
        if user is not None:
            shutil.chown(self.folder, user)

    def initialize(self, settings: Dict[str, str]) -> None:
        """Make the data folder."""
        options = ["--no-sync", "--auth=trust", "--username=postgres", "--locale=C", "--encoding=UTF8"]
        command = [str(self._binaries / "initdb"), "-D", str(self._data), *options]
        with self._log.open("ab") as log:
            code = self._run(command, log).wait()
        if code != 0:
            raise ServerError(f"initdb ended with code {code}:\n{self._end_of_log()}")
        lines = ["{} = '{}'\n".format(name, value.replace("'", "''")) for name, value in settings.items()]
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(lines)

    def start(self) -> int:
        """Start the server, wait until it accepts connections, and return its port, which stays the same."""
        if self.pid() is not None:
            return self._port
        deadline = time.monotonic() + START_SECONDS
        for port in [self._port] if self._port else free_ports():
            while not self._try_to_start(port, deadline):
                if PORT_TAKEN in self._end_of_log() and not self._port:
                    break
                if time.monotonic() > deadline or not any(text in self._end_of_log() for text in PASSING):
                    raise ServerError(f"PostgreSQL did not start:\n{self._end_of_log()}")
                time.sleep(LOOK_SECONDS)
            else:
                self._port = port
                return port
        raise ServerError(f"No free port for PostgreSQL:\n{self._end_of_log()}")

    def stop(self, mode: str) -> None:
        """Stop the server in this mode of pg_ctl, and return when it has ended."""
        if self._process is None:
            return
        self._process.send_signal(SIGNALS[mode])
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise ServerError(
                f"PostgreSQL did not stop in mode {mode} within {STOP_SECONDS:.0f} s:\n{self._end_of_log()}",
            ) from None
        self._process = None

    def pid(self) -> Optional[int]:
        """Return the pid of the running server, or None."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def remove(self) -> None:
        """End the server, whatever it is doing, and remove the folder."""
        try:
            self.stop("immediate")
        except ServerError:
            self._process.kill()
            self._process.wait()
        deadline = time.monotonic() + REMOVE_SECONDS
        while self.folder.exists() and time.monotonic() < deadline:
            shutil.rmtree(self.folder, ignore_errors=True)  # the last processes of a server may still write

    def _try_to_start(self, port: int, deadline: float) -> bool:
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(port)]
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._process = process = self._run(command, log)
        while process.poll() is None:
            if self._is_ready(process.pid):
                return True
            if time.monotonic() > deadline:
                self.stop("immediate")
                return False
            time.sleep(LOOK_SECONDS)
        self._process = None
        return False

    def _is_ready(self, pid: int) -> bool:
        """Read what pg_ctl reads: the server writes its state into the eighth line."""
        try:
            lines = (self._data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return False
        return len(lines) > 7 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"  # noqa: PLR2004

    def _end_of_log(self) -> str:
        with self._log.open("rb") as file:
            file.seek(self._log_start)
            lines = file.read().decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-LOG_LINES:])

    def _run(self, command: List[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            env={**ours, "LC_ALL": "C"},  # this file reads what the server says
            preexec_fn=self._become_its_user,  # noqa: PLW1509 - this process has one thread
        )


def child_of(user: Optional[str]) -> Callable[[], None]:
    """Return what a new child calls to become this user, and to be shut down when this process is killed."""
    entry = None if user is None else pwd.getpwnam(user)
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare() -> None:
        if entry is not None:
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
        if libc is not None:  # last: a change of user takes it back
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)

    return prepare


def free_ports() -> Iterator[int]:
    """Yield some ports on which nobody listens now."""
    for port in random.sample(PORTS, 20):
        if is_free(port):
            yield port


def is_free(port: int) -> bool:
    """Tell whether this port of the loopback can be listened to."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def commands(owner: int) -> Iterator[List[str]]:
    """Yield each command, until the input ends or its writer is dead."""
    rest = b""
    while True:
        readable, _, _ = select.select([0], [], [], OWNER_SECONDS)
        if os.getppid() != owner:
            return
        if not readable:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            return
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield json.loads(line)


def obey(server: Server, verb: str, argument: str) -> object:
    """Carry out one command and return its answer."""
    if verb == "initialize":
        return server.initialize(json.loads(argument))
    if verb == "start":
        return server.start()
    if verb == "stop":
        return server.stop(argument)
    if verb == "pid":
        return server.pid()
    raise ServerError(f"No command is named {verb!r}")


def main(owner: int, user: Optional[str], binaries: str, parent: Optional[str]) -> None:
    """Obey until the owner has gone."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    server = Server(user, binaries, parent)
    try:
        tell({"answer": str(server.folder)})
        for verb, argument in commands(owner):
            try:
                tell({"answer": obey(server, verb, argument)})
            except (ServerError, OSError) as error:
                tell({"error": str(error)})
    except BrokenPipeError:
        pass  # the owner died before it could read
    finally:
        server.remove()


def tell(answer: Dict[str, object]) -> None:
    """Write one answer."""
    os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
