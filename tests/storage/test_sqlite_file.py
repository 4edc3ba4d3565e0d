"""The file of a SQLite database: how it is made, whom it is refused to, and what happens when it vanishes."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys

import pytest

from sqlite_job.core.errors import (
    DatabaseBusyError,
    DatabaseReplacedError,
    DatabaseTooNewError,
    DatabaseUnavailableError,
    NotOurDatabaseError,
    SQLiteTooOldError,
)
from sqlite_job.storage import sqlite as sqlite_module
from sqlite_job.storage.gate import Gate
from sqlite_job.storage.interface import JobFilter
from sqlite_job.storage.sqlite import SqliteStorage
from sqlite_job.storage.sqlite_connection import check_version, connect
from tests.storage.making import new_job


@pytest.fixture
def make():
    """Make storages that are closed at the end."""
    made = []

    def make_one(path, durability="full"):
        made.append(SqliteStorage(str(path), durability))
        return made[-1]

    yield make_one
    for storage in made:
        storage.close()


def pragma(path, name):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]
    finally:
        connection.close()


def test_a_new_file_and_its_companions_belong_to_their_owner_alone(make, path):
    make(path).enqueue([new_job()])

    for suffix in ("", "-wal", "-shm", "-gate"):
        assert stat.S_IMODE(os.stat(path + suffix).st_mode) == 0o600, suffix


def test_a_new_file_is_marked_as_ours_and_gives_space_back(make, path):
    make(path).counts()

    assert pragma(path, "application_id") == 0x73716A62
    assert pragma(path, "auto_vacuum") == 2
    assert pragma(path, "journal_mode") == "wal"


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("normal", 1)])
def test_a_connection_has_the_pragmas_of_the_recipe(make, path, durability, synchronous):
    make(path).counts()
    connection = connect(path, durability)
    try:
        found = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in (
                "synchronous",
                "foreign_keys",
                "trusted_schema",
                "secure_delete",
                "temp_store",
                "wal_autocheckpoint",
            )
        }
    finally:
        connection.close()
    assert found == {
        "synchronous": synchronous,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "secure_delete": 0,
        "temp_store": 2,
        "wal_autocheckpoint": 0,
    }


def test_a_sqlite_library_without_strict_tables_is_refused_by_name():
    with pytest.raises(SQLiteTooOldError, match=r"SQLite 3\.34\.1 is too old.*3\.37"):
        check_version((3, 34, 1))


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(make, path):
    with open(path, "w", encoding="utf-8") as file:
        file.write("dear diary\n" * 100)
    os.chmod(path, 0o600)
    before = os.stat(path)

    with pytest.raises(NotOurDatabaseError, match="not a SQLite database"):
        make(path).counts()
    assert (os.stat(path).st_size, os.stat(path).st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_database_of_another_application_is_refused_and_left_as_it_is(make, path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.execute("PRAGMA application_id = 4711")
    connection.close()
    os.chmod(path, 0o600)

    with pytest.raises(NotOurDatabaseError, match="another application"):
        make(path).enqueue([new_job()])
    assert pragma(path, "journal_mode") == "delete"


def test_the_tables_can_live_in_a_database_of_the_users_own(make, path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.execute("INSERT INTO theirs VALUES (1)")
    connection.execute("PRAGMA user_version = 12")
    connection.commit()
    connection.close()
    os.chmod(path, 0o600)

    make(path).enqueue([new_job("a")])
    assert make(path).get("a").id == "a"
    assert (pragma(path, "user_version"), pragma(path, "application_id")) == (12, 0)


def test_a_database_of_a_newer_version_is_refused(make, path):
    make(path).enqueue([new_job("a")])
    connection = sqlite3.connect(path)
    connection.execute("UPDATE sqlitejob_version SET version_num = '9999'")
    connection.commit()
    connection.close()

    with pytest.raises(DatabaseTooNewError, match="newer sqlite-job"):
        make(path).enqueue([new_job()])


def test_a_missing_folder_is_named(make, tmp_path):
    with pytest.raises(DatabaseUnavailableError, match=r"folder .*/nowhere' does not exist"):
        make(tmp_path / "nowhere" / "jobs.db").counts()


def test_a_folder_in_place_of_the_file_is_refused(make, tmp_path):
    with pytest.raises(NotOurDatabaseError, match="is not a file"):
        make(tmp_path).counts()


def test_a_file_with_a_second_name_is_refused(make, path, tmp_path):
    make(path).counts()
    os.link(path, tmp_path / "second.db")

    with pytest.raises(DatabaseUnavailableError, match="2 hard links"):
        make(path).counts()


def test_a_file_that_others_can_write_is_refused_with_the_mend(make, path):
    make(path).counts()
    os.chmod(path, 0o666)

    with pytest.raises(DatabaseUnavailableError, match="chmod go-w"):
        make(path).counts()


def test_an_empty_file_is_made_into_a_database(make, path):
    with open(path, "w", encoding="utf-8"):
        pass
    os.chmod(path, 0o600)

    make(path).enqueue([new_job("a")])
    assert make(path).get("a").id == "a"


def test_a_job_is_not_acknowledged_into_a_deleted_file(make, path):
    storage = make(path)
    storage.enqueue([new_job("a")])
    for suffix in ("", "-wal", "-shm"):
        os.unlink(path + suffix)

    with pytest.raises(DatabaseReplacedError, match="deleted or moved"):
        storage.enqueue([new_job("b")])
    storage.enqueue([new_job("c")])
    assert [job.id for job in storage.find(JobFilter())] == ["c"]


def test_a_replaced_file_is_noticed_by_readers_and_writers(make, path, tmp_path):
    storage = make(path)
    storage.enqueue([new_job("a")])
    other = make(tmp_path / "other.db")
    other.enqueue([new_job("x")])
    other.close()
    storage_wal = path + "-wal"
    os.rename(storage_wal, storage_wal + ".old")
    os.rename(tmp_path / "other.db", path)

    with pytest.raises(DatabaseReplacedError, match="replaced"):
        storage.get("a")
    assert storage.get("x").id == "x"


def test_a_strangers_short_lock_is_waited_for(make, path):
    storage = make(path)
    storage.counts()
    stranger = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    stranger.execute("BEGIN IMMEDIATE")
    thread = _after_the_first_attempt(storage, lambda: stranger.execute("ROLLBACK"))

    storage.enqueue([new_job("a")])
    thread.join()
    stranger.close()
    assert storage.get("a").id == "a"


def test_a_strangers_endless_lock_ends_in_a_clear_error_and_writes_nothing(make, path, monkeypatch):
    monkeypatch.setattr(sqlite_module, "_DEADLINE_SECONDS", 0.3)
    storage = make(path)
    storage.counts()
    stranger = sqlite3.connect(path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")

    with pytest.raises(DatabaseBusyError, match="locked by another program"):
        storage.enqueue([new_job("a")])
    stranger.execute("ROLLBACK")
    stranger.close()
    assert storage.get("a") is None


def _after_the_first_attempt(storage, then):
    """Call `then` in a thread once the storage's first attempt has met the lock."""
    import threading

    attempted = threading.Event()
    real = storage._abandon_transaction

    def abandon(*args):
        real(*args)
        attempted.set()

    storage._abandon_transaction = abandon

    def wait_and_call():
        assert attempted.wait(10)
        then()

    thread = threading.Thread(target=wait_and_call)
    thread.start()
    return thread


def test_the_journal_stays_bounded_and_a_reader_does_not_stop_writers(make, path, monkeypatch):
    monkeypatch.setattr(sqlite_module, "_CHECKPOINT_BYTES", 300_000)
    storage = make(path)
    storage.enqueue([new_job()])
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM sqlitejob_job").fetchall()
    for _ in range(400):
        storage.enqueue([new_job(args=b"x" * 1000)])
    grown = os.stat(path + "-wal").st_size
    reader.execute("ROLLBACK")
    reader.close()
    for _ in range(400):
        storage.enqueue([new_job(args=b"x" * 1000)])

    assert grown > 300_000
    assert os.stat(path + "-wal").st_size < grown
    assert [(count.status.value, count.jobs) for count in storage.counts()] == [("pending", 801)]


def test_a_fork_carries_no_connection_into_the_child(tmp_path):
    program = f"""
import os, sys
from sqlite_job.storage.sqlite import SqliteStorage
from tests.storage.making import new_job
storage = SqliteStorage({str(tmp_path / "jobs.db")!r}, "full")
storage.enqueue([new_job("parent-1")])
storage.get("parent-1")
carried = storage._writer
pid = os.fork()
if pid == 0:
    assert storage._writer is None and not storage._readers
    storage.enqueue([new_job("child")])
    assert storage._writer is not carried
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
storage.enqueue([new_job("parent-2")])
print(sorted(storage.get(name).id for name in ("parent-1", "child", "parent-2")))
print(storage._writer.execute("PRAGMA integrity_check").fetchall())
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.splitlines() == ["['child', 'parent-1', 'parent-2']", "[('ok',)]"], done.stderr


def test_a_program_ends_though_another_process_holds_the_gate(path):
    program = f"""
from sqlite_job.storage.sqlite import SqliteStorage
from tests.storage.making import new_job
storage = SqliteStorage({path!r}, "full")
storage.enqueue([new_job("a")])
print("enqueued", flush=True)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=os.getcwd()
    ) as process:
        assert process.stdout.readline() == "enqueued\n"
        with Gate(path + "-gate"):
            process.stdin.write("\n")
            process.stdin.close()
            assert process.wait(20) == 0


WRITE_WHILE_OTHERS_CLOSE = """
import sys, threading
from sqlite_job.storage.sqlite import SqliteStorage

storage = SqliteStorage(sys.argv[1], "normal")
is_over, written = threading.Event(), []

def write():
    while not is_over.is_set():
        storage.heartbeat(1, 1, 1)
        written.append(1)

threads = [threading.Thread(target=write) for _ in range(3)]
for thread in threads:
    thread.start()
while len(written) < 60:
    storage.close()
is_over.set()
for thread in threads:
    thread.join()
"""


def test_closing_never_takes_a_connection_from_under_a_writer(path):
    # In a process of its own: SQLite's answer to a connection that is closed while in use is a crash.
    run = subprocess.run(
        [sys.executable, "-c", WRITE_WHILE_OTHERS_CLOSE, path], capture_output=True, text=True, timeout=100, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
