"""Measure what the verbs of our storage cost on its own tables."""

from __future__ import annotations

import time
from typing import Any, Callable, Iterator, List, Tuple

from benchmarks.check import expect
from benchmarks.fleet.processes import Cost
from benchmarks.growth import complete
from benchmarks.jobs import echo
from sqlite_job import SQLiteJob, call
from sqlite_job.core.retention import START, Old
from sqlite_job.storage.interface import Wanted
from sqlite_job.storage.opening import locate, open_storage
from tools.postgres_server import PostgresServer

# Longer than any of this takes: nobody renews it.
LEASE = 3600 * 1_000_000

BATCH = 100

Measured = Iterator[Tuple[str, float]]


def jobs(server: PostgresServer, database: str, amounts: Any) -> Measured:
    """Yield the cost of each verb, by itself and in bulk, and what a job takes."""
    verbs = _Verbs(server, database, amounts.singles, amounts.batches)
    for part in (verbs.enqueues, verbs.turns, verbs.sizes, verbs.prunes):
        yield from part()
    verbs.close()


class _Verbs:
    """One worker and one producer, that take turns."""

    def __init__(self, server: PostgresServer, database: str, singles: int, batches: int) -> None:
        self._queue, self._storage = open_queue(server, database)
        self._worker_id = self._storage.register_worker(("default",), now(), LEASE)
        self._wanted = Wanted(("default",), ("echo",), BATCH)
        self._cost, self._size = Cost(server), Size(server, database)
        self._singles, self._batches = singles, batches
        self._held: List[Any] = []
        self._jobs = 0

    def enqueues(self) -> Measured:
        size, numbers = self._size, [call(echo, 1)] * BATCH
        size.wal()
        yield "enqueue one, us", self._cost.of(self._singles, self._enqueue_one)
        yield "WAL of enqueue one, bytes", size.wal() / self._singles
        each = self._cost.of(self._batches, lambda: self._queue.enqueue_many(numbers)) / BATCH
        self._jobs += self._batches * BATCH
        yield "enqueue in bulk, us/job", each
        yield "WAL of enqueue in bulk, bytes", size.wal() / self._batches / BATCH
        yield "peek, us", self._cost.of(self._singles, lambda: self._storage.peek(self._wanted, now()))

    def turns(self) -> Measured:
        cost, size, singles = self._cost, self._size, self._singles
        yield "turn of a claim, us", cost.of(singles, lambda: self._exchange(1, 0))
        expect(len(self._held) == singles, "a claim found nothing")
        yield "turn of a claim and a settle, us", cost.of(singles, lambda: self._exchange(1, 1))
        self._exchange(BATCH, 0)
        size.wal()
        # What is left is claimed in whole batches; the last one finds less.
        turns = max((self._batches * BATCH - singles) // BATCH - 1, 1)
        yield "turn of 100 claims and settles, us", cost.of(turns, lambda: self._exchange(BATCH, BATCH))
        yield "WAL of a job in a turn of 100, bytes", size.wal() / turns / BATCH
        self._exchange(BATCH, len(self._held))
        self._exchange(BATCH, len(self._held))
        expect(not self._held, "there were more jobs than were enqueued")
        yield "turn in vain, us", cost.of(singles, lambda: self._exchange(1, 0))
        for _ in range(singles):
            self._enqueue_one()
        while len(self._held) < singles:
            self._exchange(BATCH, 0)
        yield "turn of a settle, us", cost.of(singles, lambda: self._exchange(1, 1))
        heartbeat = cost.of(singles, lambda: self._storage.heartbeat(self._worker_id, now(), LEASE))
        yield "heartbeat, us", heartbeat

    def sizes(self) -> Measured:
        size = self._size
        yield "job row and its indexes, bytes", size.of("sqlitejob_job") / self._jobs
        yield "indexes of a job row, bytes", size.of_indexes("sqlitejob_job") / self._jobs
        blobs = size.of("sqlitejob_payload") + size.of("sqlitejob_result")
        yield "payload and result, bytes", blobs / self._jobs

    def prunes(self) -> Measured:
        old = Old(now() + 1_000_000, lambda *_: True)
        pruned = 0

        def prune() -> None:
            nonlocal pruned
            pruned += self._storage.prune(old, START, now()).jobs

        self._size.wal()
        took = self._cost.of(1, lambda: _until(prune, lambda: pruned == self._jobs))
        yield "prune, us/job", took / self._jobs
        yield "WAL of a pruned job, bytes", self._size.wal() / self._jobs

    def close(self) -> None:
        self._storage.unregister_worker(self._worker_id)
        self._size.close()
        self._queue.close()

    def _enqueue_one(self) -> None:
        self._queue.enqueue(echo, 1)
        self._jobs += 1

    def _exchange(self, room: int, settled: int) -> None:
        outcomes = [complete(job) for job in self._held[:settled]]
        wanted = self._wanted._replace(room=room)
        claimed = self._storage.exchange(self._worker_id, outcomes, wanted, now()).claimed
        self._held[:settled] = []
        self._held += claimed


class Size:
    """How much WAL and how much of its tables a database has."""

    def __init__(self, server: PostgresServer, database: str) -> None:
        self._connection = connect(server, database)
        self._last = "0/0"
        self.wal()

    def wal(self) -> float:
        """Return the bytes since the last call."""
        query = "SELECT pg_current_wal_insert_lsn()::text, pg_current_wal_insert_lsn() - %s::pg_lsn"
        self._last, written = self._connection.execute(query, [self._last]).fetchone()
        return float(written)

    def of(self, table: str) -> float:
        """Return the bytes of a table and its indexes, without what a vacuum would free."""
        self._connection.execute(f"VACUUM FULL {table}")
        return self._number("SELECT pg_total_relation_size(%s)", table)

    def of_indexes(self, table: str) -> float:
        return self._number("SELECT pg_indexes_size(%s)", table)

    def _number(self, query: str, table: str) -> float:
        return float(self._connection.execute(query, [table]).fetchone()[0])

    def close(self) -> None:
        self._connection.close()


def open_queue(server: PostgresServer, database: str) -> Any:
    """Return the queue and its storage, ready for use."""
    url = server.url_of(database)
    queue, storage = SQLiteJob(database=url), open_storage(locate(url), "full")
    queue.counts()  # the tables are made, SQLAlchemy is imported
    return queue, storage


def connect(server: PostgresServer, database: str) -> Any:
    import psycopg  # not needed for the model

    return psycopg.connect(server.conninfo_of(database), autocommit=True)


def now() -> int:
    return time.time_ns() // 1000


def _until(step: Callable[[], None], is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_done():
        expect(time.monotonic() < deadline, "it does not come to an end")
        step()
