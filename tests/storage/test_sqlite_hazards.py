"""What SQLite, the disk and other programs can do to a database: docs/explanation/sqlite-hazards.md, row by row."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading

import pytest

from sqlite_job.core.errors import (
    DatabaseFullError,
    DatabaseUnavailableError,
    DatabaseUnusableError,
    NotOurDatabaseError,
)
from sqlite_job.core.states import JobStatus
from sqlite_job.storage import sqlite as sqlite_module
from sqlite_job.storage.gate import Gate, inside_gate
from sqlite_job.storage.sqlite import SqliteStorage
from sqlite_job.storage.sqlite_connection import connect, translate
from sqlite_job.storage.watching import PollWatcher
from tests.storage.disks import mounted_disk
from tests.storage.making import LEASE, NOW, claim, completed, new_job, settle

MB = 1_000_000


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


@pytest.fixture
def disk(tmp_path):
    """A disk of 8 MB: nothing is enqueued below 0.4 MB."""
    yield from mounted_disk(tmp_path / "disk", 8 * MB)


def fill(storage, size=50_000):
    """Enqueue until it is refused, and return the ids that were acknowledged and the error."""
    acknowledged = []
    while True:
        job = new_job(f"fill-{len(acknowledged)}", args=b"x" * size)
        try:
            storage.enqueue([job])
        except DatabaseUnavailableError as error:
            return acknowledged, error
        acknowledged.append(job.id)


def all_there(storage, ids):
    return [job_id for job_id in ids if storage.get(job_id) is None] == []


# ---- a full disk


def test_enqueue_is_refused_below_a_floor_while_what_is_there_is_settled(make, disk):
    storage = make(disk.path)
    worker_id = storage.register_worker(("default",), NOW, LEASE)
    storage.enqueue([new_job("a"), new_job("b")])
    disk.leave(300_000)
    storage._free_space._next_look = 0  # as if a second had passed since the last look

    with pytest.raises(DatabaseFullError, match=r"has 0\.3 MB left, and below 0\.4 MB no job is taken"):
        storage.enqueue([new_job("c")])
    jobs = claim(storage, worker_id=worker_id)
    assert settle(storage, *map(completed, jobs), worker_id=worker_id) == []
    assert storage.get("a").status is JobStatus.COMPLETED
    assert storage.get("c") is None

    disk.leave(2 * MB)
    storage.enqueue([new_job("c")])
    assert storage.get("c") is not None


def test_the_disk_is_asked_at_most_once_a_second(make, disk):
    storage = make(disk.path)
    storage.enqueue([new_job()])
    disk.leave(300_000)

    storage.enqueue([new_job()])


def test_nothing_acknowledged_is_lost_on_a_full_disk(make, disk, monkeypatch):
    monkeypatch.setattr("sqlite_job.storage.free_space._FLOOR_BYTES", 0)
    storage = make(disk.path)
    acknowledged, error = fill(storage)

    assert isinstance(error, DatabaseFullError)
    assert "make room" in str(error)
    assert len(acknowledged) > 50
    assert all_there(storage, acknowledged)
    assert storage.get(f"fill-{len(acknowledged)}") is None
    storage.close()
    again = make(disk.path)
    assert all_there(again, acknowledged)
    assert integrity(disk.path) == "ok"


def test_what_could_not_be_settled_on_a_full_disk_is_settled_once_there_is_room(make, disk, monkeypatch):
    monkeypatch.setattr("sqlite_job.storage.free_space._FLOOR_BYTES", 0)
    storage = make(disk.path)
    worker_id = storage.register_worker(("default",), NOW, LEASE)
    storage.enqueue([new_job("a")])
    (job,) = claim(storage, worker_id=worker_id)
    disk.leave(4 * MB)
    fill(storage)

    done = completed(job, value=b"x" * 300_000)  # more than what the failed commit took of the journal's file
    with pytest.raises(DatabaseFullError):
        settle(storage, done, worker_id=worker_id)
    assert storage.get("a").status is JobStatus.RUNNING
    disk.leave(1 * MB)
    assert settle(storage, done, worker_id=worker_id) == []
    assert storage.get("a").status is JobStatus.COMPLETED


def test_a_checkpoint_that_finds_no_room_does_not_make_a_commit_fail(make, disk, monkeypatch):
    monkeypatch.setattr("sqlite_job.storage.free_space._FLOOR_BYTES", 0)
    storage = make(disk.path)
    for number in range(60):
        storage.enqueue([new_job(f"job-{number}", args=b"x" * 50_000)])
    disk.leave(100_000)  # enough for a commit, not for a copy of the journal into the database
    monkeypatch.setattr(storage, "_checkpoint_at", 0)
    monkeypatch.setattr(storage, "_commits_until_look", 1)
    size = os.stat(disk.path).st_size

    storage.enqueue([new_job("last")])
    assert storage._checkpoint_at > 0  # it was tried, and is not tried again at once
    assert os.stat(disk.path).st_size - size <= 100_000
    assert storage.get("last") is not None
    disk.leave(1 * MB)
    storage.enqueue([new_job("after")])
    assert storage.get("after") is not None


def test_a_full_disk_gets_the_room_of_a_journal_whose_pages_changed_again_and_again(make, disk):
    storage = make(disk.path)
    storage.enqueue([new_job("a")])
    while os.stat(disk.path + "-wal").st_size < 3 * MB:
        storage.requeue("a", NOW) if storage.get("a").status.is_final else storage.cancel("a", None, NOW)
    disk.leave(0)
    worker_id = None
    with pytest.raises(DatabaseFullError):
        worker_id = storage.register_worker(("x" * 5_000,), NOW, LEASE)
    assert worker_id is None

    assert os.stat(disk.path + "-wal").st_size == 0
    storage.register_worker(("x" * 5_000,), NOW, LEASE)


def test_a_database_that_cannot_even_be_made_on_a_full_disk_says_so_and_is_made_later(make, disk):
    disk.leave(20_000)
    with pytest.raises(DatabaseUnavailableError, match=r"No room left|disk I/O error"):
        make(disk.path).register_worker(("default",), NOW, LEASE)

    disk.leave(4 * MB)
    make(disk.path).enqueue([new_job("a")])
    assert integrity(disk.path) == "ok"


def test_a_limit_on_the_size_of_files_is_an_error_that_passes(tmp_path):
    program = f"""
import resource
from sqlite_job.core.errors import DatabaseUnavailableError, DatabaseUnusableError
from sqlite_job.storage.sqlite import SqliteStorage
from tests.storage.making import new_job
storage = SqliteStorage({str(tmp_path / "jobs.db")!r}, "full")
storage.enqueue([new_job()])
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
ids = []
try:
    while True:
        storage.enqueue([new_job(f"job-{{len(ids)}}", args=b"x" * 10_000)])
        ids.append(f"job-{{len(ids)}}")
except DatabaseUnavailableError as error:
    assert not isinstance(error, DatabaseUnusableError), error
    print(len(ids) > 5, all(storage.get(name) for name in ids))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
storage.enqueue([new_job("last")])
print(storage.get("last").id, storage._writer.execute("PRAGMA integrity_check").fetchall())
"""
    assert run(program).splitlines() == ["True True", "last [('ok',)]"]


# ---- a damaged, read-only or foreign file


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sqlite3.DatabaseError("database disk image is malformed"), DatabaseUnusableError),
        (sqlite3.DatabaseError("file is not a database"), NotOurDatabaseError),
        (sqlite3.OperationalError("attempt to write a readonly database"), DatabaseUnusableError),
        (sqlite3.OperationalError("no such table: sqlitejob_job"), DatabaseUnusableError),
        (sqlite3.IntegrityError("UNIQUE constraint failed: sqlitejob_result.seq"), DatabaseUnusableError),
        (sqlite3.OperationalError("database or disk is full"), DatabaseFullError),
        (sqlite3.OperationalError("disk I/O error"), DatabaseUnavailableError),
        (sqlite3.OperationalError("unable to open database file"), DatabaseUnavailableError),
    ],
    ids=str,
)
def test_each_error_of_sqlite_is_told_as_passing_or_not(error, kind):
    translated = translate(error, "jobs.db")
    assert type(translated) is kind
    assert "jobs.db" in str(translated)


def test_a_database_that_became_read_only_is_told_as_such(make, path):
    storage = make(path)
    storage.enqueue([new_job("a")])
    storage._writer.execute("PRAGMA query_only = 1")

    with pytest.raises(DatabaseUnusableError, match="cannot be written; check the rights"):
        storage.enqueue([new_job("b")])
    assert storage.get("b") is None


def test_a_damaged_database_keeps_its_journal(tmp_path):
    """Closing the last connection would copy the journal into what is left of the file, and delete it."""
    path = str(tmp_path / "jobs.db")
    program = f"""
import subprocess, sys
from sqlite_job.core.errors import DatabaseError
from sqlite_job.storage.sqlite import SqliteStorage
from tests.storage.making import new_job
storage = SqliteStorage({path!r}, "full")
for number in range(300):
    storage.enqueue([new_job(f"job-{{number}}", args=b"x" * 3000)])
storage._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
storage.enqueue([new_job("late", args=b"y" * 3000)])
noise = "import os; file = open({path!r}, 'r+b'); file.seek(4096); file.write(os.urandom(800_000))"
subprocess.run([sys.executable, "-W", "ignore", "-c", noise], check=True)
try:
    SqliteStorage({path!r}, "normal").counts()
except DatabaseError as error:
    print(type(error).__name__, "is damaged" in str(error))
"""
    assert run(program).split() == ["DatabaseUnusableError", "True"]
    assert os.stat(path + "-wal").st_size > 3000


def test_a_trigger_of_a_stranger_on_our_tables_is_refused_by_name(make, path):
    make(path).enqueue([new_job("a")])
    change(
        path, "CREATE TRIGGER evil AFTER INSERT ON sqlitejob_payload BEGIN UPDATE sqlitejob_payload SET args=x''; END"
    )

    with pytest.raises(DatabaseUnusableError, match=r"trigger 'evil' on sqlitejob_payload.*DROP TRIGGER evil"):
        make(path).enqueue([new_job("b")])
    change(path, "DROP TRIGGER evil")
    make(path).enqueue([new_job("b")])


def test_a_view_in_the_place_of_a_table_is_refused_by_name(make, path):
    make(path).enqueue([new_job("a")])
    change(path, "CREATE VIEW SQLITEJOB_shadow AS SELECT 1 AS a")

    with pytest.raises(DatabaseUnusableError, match="view 'SQLITEJOB_shadow'"):
        make(path).counts()


def test_triggers_on_a_users_own_tables_are_the_users(make, path):
    make(path).enqueue([new_job("a")])
    change(path, "CREATE TABLE theirs (a)")
    change(path, "CREATE TABLE sqlitejobs (a)")
    change(path, "CREATE TRIGGER mine AFTER INSERT ON theirs BEGIN UPDATE sqlitejob_job SET priority = 9; END")
    change(path, "CREATE TRIGGER also AFTER INSERT ON sqlitejobs BEGIN SELECT 1; END")
    change(path, "CREATE VIEW shown AS SELECT * FROM sqlitejob_job")

    make(path).enqueue([new_job("b")])


# ---- the journal


def test_programs_that_enqueue_one_job_each_keep_the_journal_small(make, path, monkeypatch):
    monkeypatch.setattr(sqlite_module, "_CHECKPOINT_BYTES", 200_000)
    holder = make(path)  # keeps it open, as an idle worker does: otherwise the last one to close empties the journal
    holder.counts()
    sizes = []
    for _ in range(40):
        producer = SqliteStorage(path, "full")
        producer.enqueue([new_job(args=b"x" * 20_000)])
        producer.close()
        sizes.append(os.stat(path + "-wal").st_size)

    assert max(sizes) < 300_000


def test_every_checkpoint_is_our_own_and_runs_where_no_other_writer_is(make, path, monkeypatch):
    monkeypatch.setattr(sqlite_module, "_CHECKPOINT_BYTES", 100_000)
    storage = make(path)
    storage.counts()
    storage.enqueue([new_job()])
    seen = []
    storage._writer.set_trace_callback(lambda statement: seen.append((statement, storage._gate._lock.locked())))
    for _ in range(100):
        storage.enqueue([new_job(args=b"x" * 5_000)])

    checkpoints = [(statement, is_behind_gate) for statement, is_behind_gate in seen if "checkpoint" in statement]
    assert checkpoints
    assert all(is_behind_gate for _, is_behind_gate in checkpoints)
    kinds = {statement.partition("(")[2].rstrip(")") for statement, _ in checkpoints}
    assert kinds <= {"RESTART", "TRUNCATE"}  # they take the write lock: PASSIVE does not, and may race a commit
    assert storage._writer.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


def test_a_watcher_that_cannot_read_wakes_its_owner_once(make, path):
    make(path).counts()
    connection = connect(path, "full")
    watcher = PollWatcher(connection)
    connection.close()

    assert watcher.wait(20) is True  # the owner reads, and meets the error where it can be told
    assert watcher.wait(0.05) is False


# ---- transactions and turns


def test_every_transaction_that_writes_takes_the_write_lock_first(make, path):
    storage = make(path)
    worker_id = storage.register_worker(("default",), NOW, LEASE)
    seen = []
    storage._writer.set_trace_callback(seen.append)
    storage.enqueue([new_job("a")])
    settle(storage, *map(completed, claim(storage, worker_id=worker_id)), worker_id=worker_id)
    storage.requeue("a", NOW)
    storage.delete("a")
    storage.heartbeat(worker_id, NOW, LEASE)
    storage.unregister_worker(worker_id)

    # Between two transactions stands only whether the next one waits for the disk.
    for before, after in zip(seen, seen[1:]):
        assert before == "COMMIT" or not after.startswith("PRAGMA synchronous=")
    seen = [text for text in seen if not text.startswith("PRAGMA synchronous=")]
    begun = [after for before, after in zip(["COMMIT", *seen], seen) if before == "COMMIT"]
    assert begun == ["BEGIN IMMEDIATE"] * 7
    assert seen[-1] == "COMMIT"


def test_the_bell_rings_when_the_next_writer_can_come_in(make, path, monkeypatch):
    """Whoever is woken by it wants to, at once."""
    fcntl = pytest.importorskip("fcntl", reason="there is no gate without fcntl")
    storage = make(path)
    storage.enqueue([new_job("a")])
    next_one = os.open(path + "-gate", os.O_RDWR)
    ring, came_in = os.pwrite, []

    def come_in_and_ring(descriptor, data, offset):
        fcntl.flock(next_one, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(next_one, fcntl.LOCK_UN)
        came_in.append(descriptor)
        return ring(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", come_in_and_ring)
    storage.enqueue([new_job("b")])
    os.close(next_one)

    assert len(came_in) == 1


def test_writers_pass_the_gate_one_at_a_time(path):
    one, two = Gate(path + "-gate"), Gate(path + "-gate")  # as of two processes
    order = []
    has_begun = threading.Event()

    def follow():
        has_begun.set()
        with two:
            order.append("second")

    thread = threading.Thread(target=follow)
    with one:
        thread.start()
        has_begun.wait()
        thread.join(0.1)  # it cannot end yet
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    one.close()
    two.close()


def test_whose_turn_does_not_come_in_time_is_told_so(path):
    gate = Gate(path + "-gate")
    with gate, inside_gate(path + "-gate", 0.1) as is_inside:
        assert not is_inside
    with inside_gate(path + "-gate", 60) as is_inside:
        assert is_inside
    with gate:
        pass
    gate.close()


def test_a_lock_that_is_met_while_connecting_is_waited_for(make, path):
    storage = make(path)
    storage.enqueue([new_job("a")])
    for connection in storage._taken_connections():
        connection.close()  # it is open, but has no connection yet
    stranger = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    stranger.execute("PRAGMA locking_mode = EXCLUSIVE")
    stranger.execute("BEGIN IMMEDIATE")  # nobody else can even read
    timer = threading.Timer(0.5, stranger.close)
    timer.start()

    assert storage.get("a").id == "a"
    timer.join()


# ---- helpers


def integrity(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchone()[0]
    finally:
        connection.close()


def change(path, statement):
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(statement)
    finally:
        connection.close()


def run(program):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
