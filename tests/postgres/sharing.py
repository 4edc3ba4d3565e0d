"""One PostgreSQL server for a whole run: the controller of pytest-xdist owns it, its workers ask it for the port.

Nothing starts before the first test asks.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from typing import Optional, Tuple

from tools.postgres_server import PostgresAddress, PostgresServer, PostgresServerError, PostgresUnavailable

# Longer than a server may take to start: the supervisor gives up first, and says why.
ANSWER_SECONDS = 90.0

Address = Tuple[str, int]


class ServerOfTheRun:
    """The server of this process, started when it is first asked for."""

    def __init__(self) -> None:
        self._server = PostgresServer()
        self._lock = threading.Lock()
        self._line: Optional[_Line] = None

    def get(self) -> PostgresAddress:
        with self._lock:
            if self._server.port == 0:
                self._server.start()
            return PostgresAddress(self._server.port)

    def address_for_workers(self) -> Address:
        """Return where `ask` gets the server from another process."""
        if self._line is None:
            self._line = _Line(self)
        return self._line.server_address

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
        self._server.close()


class ServerOfTheController:
    """The same server, seen by a worker of pytest-xdist."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def get(self) -> PostgresAddress:
        with socket.create_connection(self._address, timeout=ANSWER_SECONDS) as connection:
            answer = json.loads(connection.makefile("rb").readline())
        if "unavailable" in answer:
            raise PostgresUnavailable(answer["unavailable"])
        if "error" in answer:
            raise PostgresServerError(answer["error"])
        return PostgresAddress(answer["port"])

    def close(self) -> None:
        """Do nothing: the controller closes it."""


class _Line(socketserver.TCPServer):
    """Whoever connects is told the port; one after the other, so that the second waits for the first one's start."""

    request_queue_size = 128

    def __init__(self, server: ServerOfTheRun) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.postgres = server
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Answer(socketserver.StreamRequestHandler):
    server: _Line

    def handle(self) -> None:
        try:
            answer = {"port": self.server.postgres.get().port}
        except PostgresUnavailable as error:
            answer = {"unavailable": str(error)}
        except PostgresServerError as error:
            answer = {"error": str(error)}
        self.wfile.write(json.dumps(answer).encode() + b"\n")
