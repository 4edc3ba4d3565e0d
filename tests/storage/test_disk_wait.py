"""Which commits of a file wait for the disk before they return, and which after."""

from __future__ import annotations

import os
import sqlite3
import threading

import pytest

from sqlite_job.core.outcomes import Died, FailureReport
from sqlite_job.storage import files, sqlite_connection
from sqlite_job.storage.opening import _make_storage
from tests.engine.making import Bench
from tests.storage.making import LEASE, NOW, claim, completed, new_job, settle

NORMAL, FULL = 1, 2


class _Cursor(sqlite3.Cursor):
    def execute(self, text, *values):
        if text == "COMMIT":
            ((synchronous,),) = super().execute("PRAGMA synchronous").fetchall()
            self.connection.log.append(synchronous)
        return super().execute(text, *values)


@pytest.fixture
def log(monkeypatch):
    """What happened: for each commit how it was made, "disk" for each wait for the disk that is not SQLite's own."""
    entries = []

    class Connection(sqlite3.Connection):
        log = entries

        def cursor(self):
            return super().cursor(_Cursor)

    monkeypatch.setattr(sqlite_connection, "connection_class", Connection)
    name = "fdatasync" if hasattr(os, "fdatasync") else "fsync"
    wait = getattr(os, name)

    def noted(descriptor):
        wait(descriptor)
        entries.append("disk")

    monkeypatch.setattr(os, name, noted)
    return entries


@pytest.fixture
def make(path, log):
    made = []

    def make(durability="full"):
        storage = _make_storage(path, durability, False)
        made.append(storage)
        storage.register_worker(("default",), NOW, LEASE)
        log.clear()
        return storage

    yield make
    for storage in made:
        storage.close()


def test_what_somebody_is_told_of_waits(make, log):
    storage = make()
    storage.enqueue([new_job("a"), new_job("b")])
    assert log == [FULL]

    jobs = claim(storage)
    log.clear()
    settle(storage, completed(jobs[0]))
    storage.cancel("b", None, NOW)

    assert log == [FULL, FULL]


def test_a_claim_waits_when_it_is_asked_to_and_then_once(make, log):
    storage = make()
    storage.enqueue([new_job("a")])
    log.clear()

    claim(storage)
    assert log == [NORMAL]
    storage.sync()
    storage.sync()

    assert log == [NORMAL, "disk"]


def test_a_commit_that_waits_waits_for_the_claims_before_it(make, log):
    storage = make()
    storage.enqueue([new_job("a")])
    claim(storage)
    log.clear()

    storage.enqueue([new_job("b")])
    storage.sync()

    assert log == [FULL]


def test_who_waits_beside_another_has_not_waited_before_that_one(make, log, monkeypatch):
    storage = make()
    storage.enqueue([new_job("a")])
    claim(storage)
    is_at_it, may_end = threading.Event(), threading.Event()

    def slow(_path):
        is_at_it.set()
        may_end.wait(30)

    monkeypatch.setattr(files, "sync_journal", slow)
    first, second = threading.Thread(target=storage.sync), threading.Thread(target=storage.sync)
    first.start()
    assert is_at_it.wait(30)
    second.start()
    second.join(0.1)  # it cannot end yet
    was_waiting = second.is_alive()
    may_end.set()
    first.join()
    second.join()

    assert was_waiting


def test_with_durability_normal_nothing_waits(make, log):
    storage = make("normal")
    storage.enqueue([new_job("a")])
    claim(storage)
    storage.sync()

    assert log == [NORMAL, NORMAL]


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="only Linux tells of locks, in /proc/locks")
def test_sqlite_has_no_lock_on_the_journal_that_closing_it_could_drop(make, path):
    storage = make()

    def locked(_transaction):
        with open("/proc/locks", encoding="ascii") as locks:
            inodes = {int(word.split(":")[2]) for line in locks for word in line.split() if word.count(":") == 2}
        return {name: os.stat(path + name).st_ino in inodes for name in ("", "-shm", "-wal")}

    found = storage._write(locked)

    assert found == {"": True, "-shm": True, "-wal": False}


@pytest.fixture
def bench(make, log):
    benches = []

    def bench(**options):
        made = Bench(make(), {"add": lambda a, b: a + b}, **options)
        benches.append(made)
        submit = made.executor.submit
        made.executor.submit = lambda jobs: (log.append("start"), submit(jobs))
        made.enqueue("a")
        log.clear()
        return made

    yield bench
    for one in benches:
        one.watcher.close()


def test_the_disk_is_waited_for_while_the_job_runs(bench, log):
    bench().engine.turn()

    assert log == [NORMAL, "start", "disk"]


def test_a_worker_whose_jobs_may_not_die_once_has_each_start_on_record_first(bench, log):
    bench(starts_on_record=True).engine.turn()

    assert log == [NORMAL, "disk", "start"]


def test_a_job_whose_worker_died_starts_on_record(bench, log):
    b = bench()
    (job,) = claim(b.storage)
    report = FailureReport(1, "WorkerDied", "", "")
    settle(b.storage, Died(NOW, NOW, job.seq, job.claim_number, report, is_final=False))
    log.clear()
    b.engine.turn()

    assert log == [NORMAL, "disk", "start"]
