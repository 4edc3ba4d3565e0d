"""A TCP proxy in front of a PostgreSQL server, which loses a connection exactly around a commit."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import List, Optional, Tuple

# A statement that is a transaction by itself is committed at the end of its messages.
STORE, SYNC = b"WITH numbered", b"S\0\0\0\4"
COMMIT = b"Q" + (4 + len(b"COMMIT\0")).to_bytes(4, "big") + b"COMMIT\0"

# What becomes of the next COMMIT, whose client sees its connection close in each case.
BEFORE = "before"  # the server is not told of it, and sees the connection close
AFTER = "after"  # the server has done it, and its answer is kept back
UNNOTICED = "unnoticed"  # the server is not told of it, and believes the connection to be open


class Proxy:
    """Listens on the loopback for connections to a server's port; `url_of` says how to come by it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._plans: List[Tuple[str, bool]] = []
        self._is_refusing = False
        self._sockets: List[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.cuts = 0
        self._start(self._accept)

    def url_of(self, url: str) -> str:
        port = self._listener.getsockname()[1]
        # Without encryption, whose messages nobody between could read.
        return url.replace(f":{self._port}/", f":{port}/") + "?sslmode=disable&gssencmode=disable"

    def cut_next(self, how: str, *, then_refuse: bool = False) -> None:
        """Lose the connection at the next COMMIT not planned for yet, and perhaps all others, and let nobody in."""
        with self._lock:
            self._plans.append((how, then_refuse))

    def let_in(self) -> None:
        self._is_refusing = False

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in list(self._sockets):
            _close(one)

    def _start(self, run, *arguments) -> None:
        threading.Thread(target=run, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_refusing:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._port))
            self._sockets += [client, server]
            withheld = threading.Event()
            answered = threading.Event()
            self._start(self._forward, client, server, withheld, answered)
            self._start(self._answer, client, server, withheld, answered)

    def _forward(self, client, server, withheld, answered) -> None:
        how: Optional[str] = None
        stores = False
        with suppress(OSError):
            server.sendall(_read_message(client, has_type=False))
            while how is None:
                message = _read_message(client)
                stores = stores or (message.startswith(b"P") and STORE in message)
                how = self._plan((client, server)) if message == COMMIT or (stores and message == SYNC) else None
                stores = stores and message != SYNC
                if how is None:
                    server.sendall(message)
            if how == AFTER:
                withheld.set()
                server.sendall(message)
                answered.wait()
        _close(client)
        if how != UNNOTICED:
            _close(server)

    def _answer(self, client, server, withheld, answered) -> None:
        with suppress(OSError):
            while True:
                data = server.recv(65536)
                if not data:
                    break
                if withheld.is_set():
                    answered.set()  # a server answers a COMMIT when it is done
                else:
                    client.sendall(data)
        answered.set()
        _close(client)

    def _plan(self, ours: Tuple[socket.socket, socket.socket]) -> Optional[str]:
        with self._lock:
            if not self._plans:
                return None
            how, then_refuse = self._plans.pop(0)
            self.cuts += 1
            if then_refuse:
                self._is_refusing = True
                for one in self._sockets:
                    if one not in ours:
                        _close(one)
            return how


def _read_message(source: socket.socket, *, has_type: bool = True) -> bytes:
    head = _read(source, 5 if has_type else 4)
    return head + _read(source, int.from_bytes(head[-4:], "big") - 4)


def _read(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
