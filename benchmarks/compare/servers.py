"""Start the servers that some systems need, on loopback, with the durability that the tables state."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Tuple

_PATIENCE_SECONDS = 30.0


class ServerError(Exception):
    """A server is not installed, or did not start."""


class Server(NamedTuple):
    """The start of a running server's URLs, what to show of its settings, and what ends it."""

    url: str
    facts: Dict[str, str]
    close: Callable[[], None]


def start(kind: str, folder: Path, appendfsync: str) -> Server:
    """Start a server of this kind; raises ServerError."""
    return start_redis(folder, appendfsync) if kind == "redis" else start_postgres(folder)


def start_redis(folder: Path, appendfsync: str) -> Server:
    program = shutil.which("redis-server")
    if program is None:
        raise ServerError("redis-server is not installed (apt-get install redis-server)")
    place, port = _make(folder / "redis"), _free_port()
    # No snapshots and no rewriting of the log: both would start in the middle of somebody's sample.
    options = ["--save", "", "--appendonly", "yes", "--appendfsync", appendfsync, "--auto-aof-rewrite-percentage", "0"]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(place), *options]
    process = _popen(command, place / "log")
    _wait_for(port, process, place / "log")
    version = subprocess.check_output([program, "--version"], text=True).split()[2].partition("=")[2]
    return Server(f"redis://127.0.0.1:{port}", {"redis": version, "appendfsync": appendfsync}, lambda: _end(process))


def start_postgres(folder: Path) -> Server:
    from tools.postgres_server import PostgresServer, PostgresServerError, PostgresUnavailable

    folder.chmod(0o711)  # as root its server runs as somebody else, who has to get to his folder below this one
    # Durable, and else as it comes: fsync=on, synchronous_commit=on.
    server = PostgresServer(durable=True, parent=str(folder))
    try:
        server.start()
    except (PostgresUnavailable, PostgresServerError) as error:
        raise ServerError(str(error)) from error
    facts = {"postgresql": server.version, "synchronous_commit": "on"}
    return Server(server.url.rpartition("/")[0], facts, server.close)


@contextlib.contextmanager
def running(kinds: List[str], folder: Path, appendfsync: str) -> Iterator[Tuple[Dict[str, Server], Dict[str, str]]]:
    """Start servers of these kinds; yield those that run, and of the others why they do not."""
    servers: Dict[str, Server] = {}
    reasons: Dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        for kind in kinds:
            try:
                servers[kind] = stack.enter_context(contextlib.closing(start(kind, folder, appendfsync)))
            except ServerError as error:
                reasons[kind] = str(error)
        yield servers, reasons


def _make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _popen(command: List[str], log: Path) -> Any:
    # In a session of its own: Ctrl-C ends the comparison, and that ends the server.
    with log.open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)


def _wait_for(port: int, process: Any, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerError(f"a server did not start: {log.read_text(errors='replace')[-1000:]}")
        time.sleep(0.05)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _end(process: Any) -> None:
    process.terminate()
    process.wait()
