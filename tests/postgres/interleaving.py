"""Hold transactions at chosen points, so that two of them meet in the one order that a test is about."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg

from sqlite_job.storage.postgres.address import lock_number, parse
from sqlite_job.storage.postgres.storage import PostgresStorage

DEADLINE = 20.0

_WAITS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = %s AND wait_event_type = 'Lock'
"""


class HeldStorage(PostgresStorage):
    """A storage whose transactions wait before they commit, from `hold` to `let_go`; `runs` counts their runs."""

    def __init__(self, address, durability):
        super().__init__(address, durability)
        self.runs = 0
        self._may_commit = threading.Event()
        self._may_commit.set()
        self._is_held = threading.Event()

    def hold(self):
        self._is_held.clear()
        self._may_commit.clear()

    def await_held(self):
        assert self._is_held.wait(DEADLINE), "the transaction did not come to its commit"

    def let_go(self):
        self._may_commit.set()

    def _write(self, work):
        def held(transaction):
            self.runs += 1
            found = work(transaction)
            self._is_held.set()
            assert self._may_commit.wait(DEADLINE), "nobody let the transaction commit"
            return found

        return super()._write(held)


class Stage:
    """One database, the storages on it, and what they do at the same time."""

    def __init__(self, url):
        self._url = url
        self._threads = ThreadPoolExecutor(8)
        self._storages = []
        self.conninfo = url.replace("+psycopg", "")
        self.connection = psycopg.connect(self.conninfo, autocommit=True)

    def storage(self, name):
        """Return a storage of its own, as another process would have it."""
        made = HeldStorage(parse(f"{self._url}?application_name={name}"), "full")
        made.workers()  # opened
        self._storages.append((name, made))
        return made

    def begin(self, verb, *arguments, **options):
        """Begin a verb beside the others; returns its future."""
        return self._threads.submit(verb, *arguments, **options)

    def begin_until_it_waits(self, storage, verb, *arguments, **options):
        """Begin a verb, and return its future when a lock that somebody else has stops it."""
        (name,) = [name for name, made in self._storages if made is storage]
        future = self._threads.submit(verb, *arguments, **options)

        def does_wait():
            return future.done() or self.connection.execute(_WAITS, [name]).fetchone() != (0,)

        wait_until(does_wait, f"{name} waits for a lock")
        assert not future.done(), f"{name} waited for nobody: {future.exception() or future.result()}"
        return future

    @contextmanager
    def begun_until_its_commit(self, storage, verb, *arguments, **options):
        """Begin a verb whose transaction stays open for the body of the `with`; yields its future."""
        storage.hold()
        try:
            future = self.begin(verb, *arguments, **options)
            storage.await_held()
            yield future
        finally:
            storage.let_go()
        future.exception(DEADLINE)

    @contextmanager
    def locked(self, *keys, query=None):
        """Hold the locks of these keys, as a transaction would that serialized them, or those that a query takes."""
        with psycopg.connect(self.conninfo) as connection:
            for key in keys:
                connection.execute("SELECT pg_advisory_xact_lock(%s)", [lock_number(None, key)])
            if query is not None:
                connection.execute(query)
            yield

    def let_all_go(self):
        """Let all transactions commit."""
        for _, storage in self._storages:
            storage.let_go()

    def close(self):
        self.let_all_go()
        self._threads.shutdown()
        for _, storage in self._storages:
            storage.close()
        self.connection.close()


def wait_until(is_so, what):
    """Return when something is so; fails after a long time."""
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < deadline, f"not within {DEADLINE:.0f} s: {what}"
        time.sleep(0.002)


def result_of(future):
    """Return what a verb returned, or raise what it raised."""
    return future.result(DEADLINE)
