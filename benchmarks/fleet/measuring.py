"""Measure on a real PostgreSQL server what the model takes for granted: `python -m benchmarks.fleet --measure`.

A cost is the CPU time that all processes of the server took for it (the session's, the WAL writer's, autovacuum's),
from the kernel's own count. Time on a clock would tell how busy this machine is, and what the client does.
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import ExitStack
from statistics import median
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

from benchmarks.check import expect
from benchmarks.fleet.processes import Cost, cpu_seconds, megabytes
from benchmarks.fleet.verbs import LEASE, Measured, connect, jobs, now, open_queue
from benchmarks.jobs import echo
from sqlite_job import call
from sqlite_job.storage.interface import Wanted
from tools.postgres_server import PostgresServer

_UPDATE = "UPDATE one_row SET value = value + 1"
_NOTIFY = "SELECT pg_notify('bell', '')"
_HELD = (
    "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND classid = 7 AND objsubid = 2 AND granted"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class Amounts(NamedTuple):
    """How much is done for each figure, and how often."""

    repeat: int = 3
    singles: int = 600
    batches: int = 40
    looks: int = 100
    workers: int = 1_000
    running: int = 5_000
    listeners: Sequence[int] = (100, 1_000)
    rings: int = 60
    seconds: float = 1.5


TINY = Amounts(repeat=1, singles=20, batches=2, looks=3, workers=5, running=20, listeners=(2,), rings=5, seconds=0.2)

Samples = Dict[str, List[float]]


def measure(server: PostgresServer, amounts: Amounts) -> Samples:
    """Return the samples of each figure, by its name; the unit is in the name. The server must be a durable one."""
    found: Samples = {}
    for part in (jobs, _looks, _commits, _bells):
        for _ in range(amounts.repeat):
            name = f"fleet_{time.time_ns()}"
            server.create_database(name)
            for what, value in part(server, name, amounts):
                found.setdefault(what, []).append(value)
            server.drop_database(name)
    return found


def _looks(server: PostgresServer, database: str, amounts: Amounts) -> Measured:
    """What it costs to look for dead workers, in a fleet of many."""
    queue, storage = open_queue(server, database)
    connection = connect(server, database)
    owners = [storage.register_worker(("default",), now(), LEASE) for _ in range(amounts.workers)]
    queue.enqueue_many([call(echo, number) for number in range(amounts.running)])
    each = -(-amounts.running // len(owners))
    for owner in owners:
        storage.exchange(owner, [], Wanted(("default",), ("echo",), each), now())
    connection.execute("VACUUM ANALYZE")
    connection.execute("SELECT pg_advisory_lock(7, number) FROM generate_series(1, %s) AS number", [amounts.workers])
    cost = Cost(server)
    yield "rows of leases and holders, us", cost.of(amounts.looks, lambda: storage.rescue(now(), 3))
    yield "look into pg_locks, us", cost.of(amounts.looks, lambda: connection.execute(_HELD).fetchall())
    connection.close()
    storage.close()


def _commits(server: PostgresServer, database: str, amounts: Amounts) -> Measured:
    """What a commit waits for the disk, and how commits that notify go one after the other."""
    with connect(server, database) as connection:
        connection.execute("CREATE TABLE one_row (session int PRIMARY KEY, value int)")
        connection.execute("INSERT INTO one_row SELECT number, 0 FROM generate_series(1, 8) AS number")
        at_once = f"{_UPDATE} WHERE session = 1"
        waits = {}
        for how in ("on", "off"):
            connection.execute(f"SET synchronous_commit = {how}")
            waits[how] = _median_wait(amounts.singles, lambda: connection.execute(at_once))
        yield "wait of a commit for the disk, us", max(waits["on"] - waits["off"], 1.0)
    # A disk of a millisecond, as many have it: the wait is the server's own, before each flush.
    for delay, disk in ((0, "this disk"), (1_000, "a disk of 1 ms")):
        for what, notifies in (("commits", False), ("commits that notify", True)):
            for sessions in (1, 8):
                rate = _rate(server, database, sessions, notifies=notifies, delay=delay, seconds=amounts.seconds)
                yield f"{what}, {sessions} sessions, {disk}, /s", rate


def _bells(server: PostgresServer, database: str, amounts: Amounts) -> Measured:
    """What a NOTIFY costs the session that sends it, and each session that listens; and what a session takes."""
    with ExitStack() as stack:
        sender = stack.enter_context(connect(server, database))
        yield "notify with nobody listening, us", Cost(server).of(amounts.singles, lambda: sender.execute(_NOTIFY))
        alone = cpu_seconds(sender.info.backend_pid)
        for _ in range(amounts.rings):
            sender.execute(_NOTIFY)
        alone = (cpu_seconds(sender.info.backend_pid) - alone) / amounts.rings
        listening: List[Any] = []
        for listeners in amounts.listeners:
            while len(listening) < listeners:
                listening.append(stack.enter_context(connect(server, database)))
                listening[-1].execute("LISTEN bell")
            sent, heard = _ring(sender, listening, amounts.rings)
            yield f"signal to each of {listeners:,} listeners, us", (sent - alone) / listeners * 1e6
            yield f"wake of each of {listeners:,} listeners, us", heard / listeners * 1e6
        yield "memory of a listening session, MB", median(megabytes(one.info.backend_pid) for one in listening)


def _ring(sender: Any, listening: Sequence[Any], rings: int) -> Any:
    """Notify, each time when all have heard the one before; returns the CPU of the sender's and of their sessions."""
    pids = [one.info.backend_pid for one in listening]
    by_descriptor = {one.fileno(): one for one in listening}
    poll = select.poll()
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    sent, heard = cpu_seconds(sender.info.backend_pid), sum(map(cpu_seconds, pids))
    for _ in range(rings):
        sender.execute(_NOTIFY)
        waiting = set(by_descriptor)
        while waiting:
            ready = poll.poll(10_000)
            expect(bool(ready), "a NOTIFY was not heard")
            for descriptor, _ in ready:
                os.read(descriptor, 65536)
                waiting.discard(descriptor)
    return (
        (cpu_seconds(sender.info.backend_pid) - sent) / rings,
        (sum(map(cpu_seconds, pids)) - heard) / rings,
    )


def _rate(server: PostgresServer, database: str, sessions: int, *, notifies: bool, delay: int, seconds: float) -> float:
    """Return how many commits a second so many sessions get done, each on a row of its own."""
    counts = [0] * sessions
    begun, ended = threading.Barrier(sessions + 1), threading.Event()

    def run(number: int) -> None:
        with connect(server, database) as connection:
            connection.execute(f"SET commit_delay = {delay}")
            connection.execute("SET commit_siblings = 0")
            update = f"{_UPDATE} WHERE session = {number + 1}"
            statement = f"WITH done AS ({update} RETURNING 1) {_NOTIFY}" if notifies else update
            begun.wait()
            while not ended.is_set():
                connection.execute(statement)
                counts[number] += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(sessions)]
    for thread in threads:
        thread.start()
    begun.wait()
    began = time.perf_counter()
    ended.wait(seconds)
    ended.set()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def _median_wait(count: int, operation: Callable[[], Any]) -> float:
    waits = []
    for _ in range(count):
        began = time.perf_counter()
        operation()
        waits.append((time.perf_counter() - began) * 1e6)
    return median(waits)
