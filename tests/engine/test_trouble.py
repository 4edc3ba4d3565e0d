"""What the engine does with a database in trouble: it waits for what passes, and gives up at what does not."""

from __future__ import annotations

import os
import sqlite3

import pytest

from sqlite_job.core.clock import SECOND
from sqlite_job.core.errors import DatabaseFullError, DatabaseReplacedError, DatabaseUnusableError
from sqlite_job.core.events import StorageFailed, WorkerFailed
from sqlite_job.engine.housekeeping.heartbeat import Heartbeat
from sqlite_job.engine.housekeeping.rescuer import Rescuer
from sqlite_job.storage import sqlite as sqlite_module

LEASE = 30  # seconds


def run_one(b):
    """Claim a job and run it; its outcome waits for the next turn."""
    b.enqueue("a")
    b.engine.turn()
    b.executor.run_next()


@pytest.mark.files("their disk is this machine's")
def test_outcomes_survive_a_full_disk(bench):
    b = bench({"add": lambda *_: "x" * 500_000})
    run_one(b)
    b.storage._writer.execute("PRAGMA max_page_count = 1")  # of this connection, which does not outlive the error

    b.engine._guarded_turn()
    (failed,) = b.of_kind(StorageFailed)
    assert isinstance(failed.error, DatabaseFullError)
    assert b.status("a") == "running"
    b.engine._guarded_turn()
    assert b.status("a") == "completed"


@pytest.mark.files("one writer has the lock of a file")
def test_a_look_for_unknown_functions_that_fails_does_not_end_the_worker(bench, monkeypatch):
    b = bench()
    b.storage.close()
    monkeypatch.setattr(sqlite_module, "_DEADLINE_SECONDS", 0.05)
    b.watcher._data_version.connection.close()  # the last one that has the database open
    stranger = sqlite3.connect(b.storage.location, isolation_level=None)
    stranger.execute("PRAGMA locking_mode = EXCLUSIVE")
    stranger.execute("BEGIN IMMEDIATE")  # now nobody else can even read
    monkeypatch.setattr(b.engine, "turn", lambda: False)

    b.engine._guarded_turn()
    stranger.close()
    assert len(b.of_kind(StorageFailed)) == 1


@pytest.mark.files("it breaks the writing connection of a file")
def test_what_waiting_does_not_mend_ends_the_worker_at_once_and_leaves_its_jobs_to_a_rescue(bench):
    b = bench()
    run_one(b)
    b.enqueue("b")
    b.storage._writer.execute("PRAGMA query_only = 1")

    with pytest.raises(DatabaseUnusableError, match="cannot be written"):
        b.engine.run()
    (failed,) = b.of_kind(WorkerFailed)
    assert (failed.worker_id, failed.held) == (b.registration.worker_id, 1)
    assert b.of_kind(StorageFailed) == []
    assert b.executor.interrupted
    b.registration.end()
    assert [row.id for row in b.storage.workers()] == [b.registration.worker_id]
    assert [job.id for job in b.storage.rescue(b.clock.now(), 3)] == ["a"]


@pytest.mark.files("a file can be replaced")
def test_nothing_is_written_to_the_file_that_took_the_databases_place(bench):
    b = bench()
    run_one(b)
    for suffix in ("", "-wal", "-shm"):
        os.unlink(b.storage.location + suffix)

    with pytest.raises(DatabaseReplacedError):
        b.engine.run()
    b.registration.end()
    assert not os.path.exists(b.storage.location)


@pytest.mark.files("it breaks the writing connection of a file")
def test_a_worker_that_stops_while_its_database_breaks_says_so_once(bench):
    b = bench(shutdown_timeout=5.0)
    b.enqueue("a")
    b.engine.turn()
    b.storage._writer.execute("PRAGMA query_only = 1")
    b.engine.stop()

    with pytest.raises(DatabaseUnusableError):
        b.engine.run()
    assert len(b.of_kind(WorkerFailed)) == 1
    assert b.of_kind(StorageFailed) == []


# ---- leases, when nobody could renew them


@pytest.fixture
def heartbeat(bench):
    b = bench()
    made = Heartbeat(b.registration, LEASE, on_expelled=lambda: None, clock=b.clock)
    made.bench = b
    return made


def test_leases_are_trusted_while_the_worker_renews_its_own(heartbeat):
    assert heartbeat.trusts_leases()
    for _ in range(5):
        heartbeat.bench.clock.time += LEASE * SECOND // 3
        heartbeat.tick()
        assert heartbeat.trusts_leases()


def test_leases_are_not_trusted_while_the_worker_cannot_renew_its_own(heartbeat):
    heartbeat.bench.clock.time += LEASE * SECOND // 2 + 1
    assert not heartbeat.trusts_leases()


def test_after_a_gap_others_have_the_time_of_a_lease_to_renew_theirs(heartbeat):
    clock = heartbeat.bench.clock
    clock.time += 10 * LEASE * SECOND
    heartbeat.tick()
    assert not heartbeat.trusts_leases()
    for _ in range(3):
        clock.time += LEASE * SECOND // 3
        heartbeat.tick()
    assert heartbeat.trusts_leases()


def test_a_worker_that_could_not_renew_its_lease_leaves_the_jobs_of_others_alone(heartbeat):
    b = heartbeat.bench
    b.enqueue("a")
    b.engine.turn()
    trusts = [False]
    rescuer = Rescuer(b.storage, 3, trusts_leases=lambda: trusts[0], clock=b.clock, events=b.engine._events)
    b.clock.time += 2 * LEASE * SECOND

    rescuer.tick()
    assert b.status("a") == "running"
    trusts[0] = True
    rescuer.tick()
    assert b.status("a") == "pending"
