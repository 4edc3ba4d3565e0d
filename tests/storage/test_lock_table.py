"""Who holds locks on the files of a database, as Linux tells it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

from sqlite_job.storage import lock_table
from sqlite_job.storage.lock_table import HeldLock, parse_locks
from sqlite_job.storage.sqlite import SqliteStorage
from tests.storage.making import new_job

TEXT = """\
1: POSIX  ADVISORY  READ 11342 fe:00:2304370 128 128
2: FLOCK  ADVISORY  WRITE 31963 00:28:2744480 0 EOF
2: -> FLOCK  ADVISORY  WRITE 31964 00:28:2744480 0 EOF
3: OFDLCK ADVISORY  READ  -1 00:06:1028 0 EOF
4: POSIX  ADVISORY  WRITE 42 08:10:12 120 120
nonsense
"""

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement).fetchmany(1)
print("ready", flush=True)
sys.stdin.readline()
"""


def test_the_table_is_read_without_those_who_wait():
    assert list(parse_locks(TEXT)) == [
        HeldLock("POSIX", False, 11342, (0xFE, 0, 2304370), 128, 128),
        HeldLock("FLOCK", True, 31963, (0, 0x28, 2744480), 0, None),
        HeldLock("OFDLCK", False, -1, (0, 6, 1028), 0, None),
        HeldLock("POSIX", True, 42, (8, 16, 12), 120, 120),
    ]


def test_a_lock_covers_its_bytes():
    lock = HeldLock("POSIX", False, 1, (0, 0, 0), 123, 125)
    assert lock.covers([125])
    assert not lock.covers([120, 126])
    assert lock._replace(last=None).covers([999])


def test_processes_are_named_and_nobody_is_somebody():
    assert lock_table.describe([os.getpid()]).startswith(f"process {os.getpid()} (")
    assert lock_table.describe([]) == "somebody who cannot be seen from here"


needs_table = pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="only Linux lists its locks")


@pytest.fixture
def other(path):
    """Run statements in another process, which then holds what it holds; returns its process id."""
    storage = SqliteStorage(path, "full")
    storage.enqueue([new_job("a")])
    started = []

    def start(*statements):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, path, *statements],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process.pid

    yield start
    for process in started:
        process.communicate("end\n", timeout=60)
    storage.close()


@needs_table
def test_a_writer_is_seen_from_another_process(other, path):
    pid = other("BEGIN IMMEDIATE")
    assert lock_table.writers(path) == [pid]
    assert lock_table.gate_holders(path) == []
    assert pid in lock_table.users(path)


@needs_table
def test_a_reader_is_seen_from_another_process(other, path):
    idle = other("PRAGMA user_version")
    pid = other("BEGIN", "SELECT * FROM sqlitejob_job")
    assert lock_table.readers(path) == [pid]
    assert lock_table.writers(path) == []
    assert lock_table.users(path) == sorted([idle, pid])


@needs_table
def test_this_process_does_not_name_itself(other, path):
    mine = sqlite3.connect(path, isolation_level=None)
    mine.execute("BEGIN IMMEDIATE")
    assert lock_table.writers(path) == []
    mine.close()


def test_a_file_that_is_not_there_has_no_locks(tmp_path):
    assert lock_table.users(str(tmp_path / "none.db")) == []
