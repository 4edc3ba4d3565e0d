"""Hear of commits, and show that workers live: one connection of its own for each process, kept by one thread.

NOTIFY reaches it at the commit of whoever enqueues; the locks of this process's workers are its session's, so that the
server frees them when the process ends, however it ends.
"""

from __future__ import annotations

import os
import random
import selectors
import threading
from contextlib import suppress
from typing import AbstractSet, Any, Callable, Dict, List, Optional, Sequence, Set

import psycopg

from sqlite_job.core.clock import elapsed
from sqlite_job.storage.postgres.connections import Connections, close_quietly, is_pooled_by_another

# Seconds between tries to connect again.
_AGAIN_FIRST, _AGAIN_LAST = 0.05, 2.0

# How often a session that is never told anything looks for itself, behind a pooler that passes no NOTIFY on.
_POLL_SECONDS = 0.25

# How often a silent connection is tried: one that ends without a word is noticed then.
_PROBE_SECONDS = 20.0

_HELD = """
SELECT objid::bigint FROM pg_locks
WHERE locktype = 'advisory' AND classid = %s::bigint::oid AND objsubid = 2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

Heard = Callable[[str], None]


class Listener:
    """Calls back for each channel that was notified, and once for all of them after every connection anew."""

    def __init__(self, connections: Connections, channels: List[str], lock_class: int) -> None:
        """Listen to these channels from the first subscriber on; `lock_class` is the first number of workers' locks."""
        self._connections = connections
        self._channels = channels
        self._lock_class = lock_class
        self._mutex = threading.RLock()
        self._callbacks: Dict[int, Heard] = {}
        self._workers: Set[int] = set()
        self._connection: Optional[psycopg.Connection[Any]] = None
        self._thread: Optional[threading.Thread] = None
        self._wake_read, self._wake_write = -1, -1
        self._is_ended = False
        self._is_closing = False
        self._is_deaf = False
        self.connected_at = float("-inf")
        self.connections_made = 0

    @property
    def is_deaf(self) -> bool:
        """Whether a pooler stands between, through which neither notifications nor locks of a session work."""
        with self._mutex:
            self._connected()
            return self._is_deaf

    def subscribe(self, callback: Heard) -> Callable[[], None]:
        """Call `callback` with the name of each channel that is notified, from the listener's thread.

        Raises psycopg.Error when there is no connection yet, and none can be made.
        """
        with self._mutex:
            self._connected()
            self._callbacks[id(callback)] = callback
            self._ensure_thread()
        return lambda: self._unsubscribe(callback)

    def hold(self, worker_id: int) -> bool:
        """Take a worker's lock; False when another session has it. Raises psycopg.Error."""
        with self._mutex:
            connection = self._connected()
            if worker_id in self._workers:
                return False
            if not self._is_deaf and not _lock(connection, self._lock_class, worker_id):
                return False
            self._workers.add(worker_id)
            self._ensure_thread()
            return True

    def release(self, worker_id: int) -> None:
        """Give a worker's lock back; never raises."""
        with self._mutex:
            if worker_id not in self._workers:
                return
            self._workers.discard(worker_id)
            if self._connection is not None and not self._is_deaf:
                with suppress(psycopg.Error):
                    self._connection.execute("SELECT pg_advisory_unlock(%s, %s)", [self._lock_class, worker_id])
            self._end_if_closing()

    def own(self) -> AbstractSet[int]:
        """Return the workers of this process."""
        with self._mutex:
            return set(self._workers)

    def held(self, connection: psycopg.Connection[Any]) -> AbstractSet[int]:
        """Return the workers whose lock any session holds."""
        return {row[0] for row in connection.execute(_HELD, [self._lock_class & 0xFFFFFFFF]).fetchall()}

    def close(self) -> None:
        """End the thread and the connection, as soon as there are no workers nor subscribers."""
        with self._mutex:
            self._is_closing = True
            if self._callbacks or self._workers:
                return
            self.abandon()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(5)

    def abandon(self) -> None:
        """Have the thread end by itself; waits for nothing."""
        self._is_ended = True
        if self._thread is None:
            close_quietly(self._connection)
            self._connection = None
            self.connections_made = 0
        else:
            self._wake()

    def _unsubscribe(self, callback: Heard) -> None:
        with self._mutex:
            self._callbacks.pop(id(callback), None)
            self._end_if_closing()

    def _end_if_closing(self) -> None:
        if self._is_closing and not (self._callbacks or self._workers):
            self.abandon()

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is not None and not self._connection.closed:
            return self._connection
        connection = self._connections.connect()
        try:
            self._is_deaf = is_pooled_by_another(connection)
            if not self._is_deaf:
                for channel in self._channels:
                    connection.execute(f'LISTEN "{channel}"')
                for worker_id in self._workers:
                    _lock(connection, self._lock_class, worker_id)
            connection.add_notify_handler(self._on_notify)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self.connected_at = elapsed()
        self.connections_made += 1
        return connection

    def _ensure_thread(self) -> None:
        self._is_ended = self._is_closing = False
        if self._thread is not None:
            self._wake()  # it may sit on an older connection
            return
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._listen, name="sqlite-job-listener", daemon=True)
        self._thread.start()

    def _wake(self) -> None:
        if self._wake_write >= 0:
            with suppress(OSError):
                os.write(self._wake_write, b"x")

    def _listen(self) -> None:
        again = _AGAIN_FIRST
        while not self._has_left():
            try:
                self._listen_once()
                again = _AGAIN_FIRST
            except (psycopg.Error, OSError):
                self._drop()
                _readable([self._wake_read], again * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                again = min(again * 2, _AGAIN_LAST)

    def _has_left(self) -> bool:
        """Whether the thread is to end; it is not the listener's any more then, and its connection is closed."""
        with self._mutex:
            if not self._is_ended:
                return False
            self._thread = None
            self._drop()
            self.connections_made = 0  # the next one is a first one: nobody has lost a lock by it
            write, self._wake_write = self._wake_write, -1
            os.close(self._wake_read)
            os.close(write)
            return True

    def _listen_once(self) -> None:
        """Wait for one sign, and pass it on; connects first, where there is no connection any more."""
        with self._mutex:
            is_new = self._connection is None or self._connection.closed
            connection = self._connected()
            is_deaf = self._is_deaf
        if is_new or is_deaf:
            self._tell_all()  # of what was missed meanwhile
        descriptor = connection.fileno()
        ready = _readable([descriptor, self._wake_read], _POLL_SECONDS if is_deaf else _PROBE_SECONDS)
        if self._wake_read in ready:
            os.read(self._wake_read, 4096)
        with self._mutex:
            if connection.closed:
                raise psycopg.OperationalError("the connection is closed")
            if descriptor in ready:
                self._read(connection)
            elif not ready and not (self._callbacks or self._workers):
                self._is_ended = True  # until somebody comes
            elif not ready and not is_deaf:
                connection.execute("SELECT 1")

    def _read(self, connection: psycopg.Connection[Any]) -> None:
        connection.pgconn.consume_input()
        heard = set()
        while True:
            notification = connection.pgconn.notifies()
            if notification is None:
                break
            heard.add(notification.relname.decode())
        for channel in heard:
            self._tell(channel)

    def _on_notify(self, notification: psycopg.Notify) -> None:
        # One that came while another command of this connection was under way.
        self._tell(notification.channel)

    def _tell_all(self) -> None:
        for channel in self._channels:
            self._tell(channel)

    def _tell(self, channel: str) -> None:
        with self._mutex:
            callbacks = list(self._callbacks.values())
        for callback in callbacks:
            callback(channel)

    def _drop(self) -> None:
        with self._mutex:
            close_quietly(self._connection)
            self._connection = None


def _readable(descriptors: Sequence[int], seconds: float) -> AbstractSet[int]:
    # Not select.select: that refuses a descriptor above 1023, which a busy program has.
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        return {key.fd for key, _ in selector.select(seconds)}


def _lock(connection: psycopg.Connection[Any], lock_class: int, worker_id: int) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", [lock_class, worker_id]).fetchone()
    return row is not None and bool(row[0])
