"""The size of a SQLite file: bounded by what is kept in it, not by what has ever been."""

from __future__ import annotations

import os
import sqlite3

import pytest

from sqlite_job.core.retention import START, Old
from sqlite_job.storage import sqlite as sqlite_module
from sqlite_job.storage.sqlite import SqliteStorage
from tests.storage.making import LEASE, NOW, claim, completed, new_job, settle

EVERYTHING = Old(2**62, lambda queue, function, status: True)
ARGS = os.urandom(8_000)

MEGABYTE = 1_000_000


@pytest.fixture
def storage(path):
    made = SqliteStorage(path, "normal")
    made.register_worker(("default",), NOW, LEASE)
    yield made
    made.unregister_worker(1)
    made.close()


def run_jobs(storage, jobs):
    storage.enqueue([new_job(args=ARGS) for _ in range(jobs)])
    settle(storage, *map(completed, claim(storage, jobs)))


def prune(storage):
    place, is_end = START, False
    while not is_end:
        _, place, is_end, _ = storage.prune(EVERYTHING, place, NOW)


def size(path):
    """Return the size of the file, once the journal is in it."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return os.path.getsize(path)


def test_the_file_is_bounded_while_jobs_flow_through_it(storage, path):
    for _ in range(12):
        run_jobs(storage, 500)
        prune(storage)
        storage.give_back_space()

    # 48 MB of arguments in all, 4 MB at any time.
    assert size(path) < 12 * MEGABYTE


def test_what_was_once_needed_is_given_back_in_short_steps(storage, path):
    run_jobs(storage, 7000)
    before = size(path)
    assert storage.give_back_space() is False
    prune(storage)

    steps = 1
    while storage.give_back_space():
        steps += 1
    assert before > 56 * MEGABYTE
    assert steps > 10
    # A small file is left as it is: the next jobs need the space again.
    assert size(path) < 20 * MEGABYTE
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_the_journal_is_copied_while_space_is_given_back(path, monkeypatch):
    monkeypatch.setattr(sqlite_module, "_CHECKPOINT_BYTES", 100_000)
    storage = SqliteStorage(path, "normal")
    storage.register_worker(("default",), NOW, LEASE)
    run_jobs(storage, 7000)
    prune(storage)
    before = os.path.getsize(path)

    while storage.give_back_space():
        pass
    # It changes no row, and yet what it writes must come from the journal into the file, which is cut off then: at each
    # sixteenth step, a megabyte each, of some forty.
    assert os.path.getsize(path) < before - 10 * MEGABYTE
    storage.unregister_worker(1)
    storage.close()


def test_a_file_that_cannot_give_space_back_is_left_alone(path):
    with sqlite3.connect(path) as connection:  # a user's own, made before ours came into it
        connection.execute("CREATE TABLE mine (text)")
    connection.close()
    os.chmod(path, 0o600)
    storage = SqliteStorage(path, "normal")
    storage.register_worker(("default",), NOW, LEASE)
    run_jobs(storage, 4000)
    prune(storage)

    assert storage.give_back_space() is False
    storage.unregister_worker(1)
    storage.close()
