from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sqlite_job import (
    BackupRefusedError,
    DatabaseFullError,
    DatabaseReplacedError,
    DatabaseTooNewError,
    Inspector,
    JobStatus,
    SQLiteJob,
    Worker,
    WorkerSettings,
)
from sqlite_job.backups import back_up, restore
from sqlite_job.storage import backup as backup_module
from tests.cli.conftest import DATABASE
from tests.storage.disks import mounted_disk

BACKUP = "backup.db"


def add(a, b):
    return a + b


class Settings(WorkerSettings):
    functions = [add]
    database = DATABASE


def value(database, query):
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query).fetchone()[0]
    finally:
        connection.close()


def ids(database):
    door = SQLiteJob(database=database)
    found = sorted(job.id for job in door.list_jobs(limit=100_000))
    door.close()
    return found


# ---- backup


def test_a_backup_is_one_private_checked_file(run, jobs, folder):
    for number in range(3):
        jobs.enqueue("add", number, 1)
    ended = run("backup", BACKUP)
    size = f"{os.path.getsize(BACKUP) / 1e6:,.1f}"
    assert ended == (0, f"Backed up 3 jobs ({size} MB, checked) to {folder / BACKUP}\n", "")
    assert stat.S_IMODE(os.stat(BACKUP).st_mode) == 0o600
    assert [path.name for path in folder.glob(f"{BACKUP}*")] == [BACKUP]
    assert value(BACKUP, "PRAGMA journal_mode") == "delete"
    assert value(BACKUP, "PRAGMA integrity_check") == "ok"
    assert ids(BACKUP) == ids(DATABASE)


def test_a_backup_as_json(run, jobs, folder):
    jobs.enqueue("add", 1, 2)
    facts = json.loads(run("backup", BACKUP, "--json").out)
    assert facts == {"path": str(folder / BACKUP), "size": os.path.getsize(BACKUP), "jobs": 1, "replaced": None}


def test_what_is_there_is_written_over_by_force_only(run, jobs, folder):
    jobs.enqueue("add", 1, 2)
    Path(BACKUP).write_text("mine", encoding="utf-8")
    ended = run("backup", BACKUP)
    assert (ended.code, ended.out) == (7, "")
    assert "exists already; give another name" in ended.err
    assert Path(BACKUP).read_text(encoding="utf-8") == "mine"

    assert run("backup", BACKUP, "--force").code == 0
    assert len(ids(BACKUP)) == 1


@pytest.mark.parametrize("target", [DATABASE, f"./{DATABASE}", "link.db", ".", "used.db"])
def test_a_backup_never_goes_where_it_would_do_harm(run, jobs, folder, target):
    jobs.enqueue("add", 1, 2)
    (folder / "link.db").symlink_to(folder / DATABASE)
    other = SQLiteJob(database="used.db")
    other.enqueue("add", 1, 2)
    ended = run("backup", target, "--force")
    assert (ended.code, ended.out) == (7, "")
    assert len(jobs.list_jobs()) == len(other.list_jobs()) == 1


def test_without_a_database_there_is_no_backup(run, folder):
    ended = run("backup", BACKUP)
    assert (ended.code, "There is no database" in ended.err) == (5, True)
    assert list(folder.iterdir()) == []


def test_a_damaged_database_makes_no_backup(run, jobs, folder):
    for number in range(50):
        jobs.enqueue("add", number, "x" * 2000)
    jobs.close()
    with open(DATABASE, "r+b") as file:
        file.seek(5 * 4096)
        file.write(os.urandom(20 * 4096))
    ended = run("backup", BACKUP)
    assert (ended.code, ended.out, "is damaged" in ended.err) == (5, "", True)
    assert not list(folder.glob(f"{BACKUP}*"))


def test_a_backup_that_finds_no_room_leaves_nothing_behind(jobs, folder):
    for number in range(100):
        jobs.enqueue("add", number, "x" * 20_000)
    for disk in mounted_disk(folder / "disk", 1_000_000):
        with pytest.raises(DatabaseFullError, match="No room left"):
            back_up(disk.folder / BACKUP, DATABASE)
        assert list(disk.folder.iterdir()) == []


def test_a_backup_while_others_write_is_as_the_database_was_at_one_moment(jobs, folder, monkeypatch):
    monkeypatch.setattr(backup_module, "_PAGES_IN_A_STEP", 16)  # so that it takes hundreds of their commits
    for number in range(300):
        jobs.enqueue("add", number, "x" * 3000)
    before = len(ids(DATABASE))
    producers = [Producer(name) for name in ("one", "two")]
    for producer in producers:
        producer.wait_for(20)
    copy = back_up(BACKUP, DATABASE)
    during = [producer.count for producer in producers]
    for producer in producers:
        producer.wait_for(producer.count + 20)  # they go on
        producer.stop()

    assert value(BACKUP, "PRAGMA integrity_check") == "ok"
    assert copy.jobs == len(ids(BACKUP)) > before
    assert set(ids(BACKUP)) < set(ids(DATABASE))
    for producer, count in zip(producers, during):
        numbers = sorted(int(one.split("-")[1]) for one in ids(BACKUP) if one.startswith(producer.name))
        assert numbers == list(range(len(numbers)))  # all up to one moment, and none after it
        assert 20 <= len(numbers) <= count + 1
    assert Worker("default", Settings(BACKUP)).run(burst=True) == copy.jobs


class Producer:
    """A thread that enqueues all the time, one job after the other."""

    def __init__(self, name):
        self.name = name
        self.count = 0
        self._news = threading.Condition()
        self._must_stop = False
        self._thread = threading.Thread(target=self._produce)
        self._thread.start()

    def _produce(self):
        jobs = SQLiteJob(database=DATABASE)
        while not self._must_stop:
            jobs.with_options(job_id=f"{self.name}-{self.count}").enqueue("add", self.count, "x" * 500)
            with self._news:
                self.count += 1
                self._news.notify_all()

    def wait_for(self, count):
        with self._news:
            assert self._news.wait_for(lambda: self.count >= count, 60)

    def stop(self):
        self._must_stop = True
        self._thread.join()


# ---- restore


@pytest.fixture
def backed_up(jobs):
    """A database with job "a", a backup of it, and then job "b"."""
    jobs.with_options(job_id="a").enqueue("add", 1, 2)
    back_up(BACKUP, DATABASE)
    jobs.with_options(job_id="b").enqueue("add", 3, 4)
    jobs.close()


def test_a_backup_is_restored_where_nothing_is(run, backed_up, folder):
    ended = run("restore", BACKUP, "--database", "new.db")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Restored 1 job (")
    assert ended.out.endswith(f"to {folder / 'new.db'}\n")
    assert stat.S_IMODE(os.stat("new.db").st_mode) == 0o600
    assert ids("new.db") == ["a"]
    assert Path(BACKUP).exists()


def test_what_is_there_is_replaced_by_force_only_and_kept_with_its_journal(run, backed_up, jobs, folder):
    jobs.with_options(job_id="c").enqueue("add", 5, 6)  # in the journal, which goes with it
    ended = run("restore", BACKUP)
    assert (ended.code, ended.out, "with force it is put aside" in ended.err) == (7, "", True)

    ended = run("restore", BACKUP, "--force", "--json")
    replaced = json.loads(ended.out)["replaced"]
    assert replaced.startswith(str(folder / f"{DATABASE}.replaced-"))
    jobs.close()
    assert ids(DATABASE) == ["a"]
    assert ids(replaced) == ["a", "b", "c"]
    assert run("restore", replaced, "--database", "again.db").code == 0
    assert ids("again.db") == ["a", "b", "c"]


def test_it_says_where_it_has_put_what_was_there(run, backed_up):
    lines = run("restore", BACKUP, "--force").out.splitlines()
    assert lines[1].startswith("What was there is kept as ")
    assert Path(lines[1].partition(" kept as ")[2]).exists()


def test_nothing_is_acknowledged_into_what_was_replaced(backed_up):
    jobs = SQLiteJob(database=DATABASE)
    jobs.enqueue("add", 1, 2)
    restore(BACKUP, DATABASE, force=True)
    with pytest.raises(DatabaseReplacedError):
        jobs.with_options(job_id="late").enqueue("add", 1, 2)
    jobs.with_options(job_id="later").enqueue("add", 1, 2)
    assert ids(DATABASE) == ["a", "later"]


def test_a_database_is_not_taken_from_workers_that_live(run, backed_up, folder):
    with Worker("default", Settings()).running_in_background():
        ended = run("restore", BACKUP, "--force")
    assert (ended.code, ended.out) == (7, "")
    assert f"has workers that live: 1 (process {os.getpid()} on " in ended.err
    assert ids(DATABASE) == ["a", "b"]
    assert not list(folder.glob("*.part"))


def test_a_killed_worker_does_not_stand_in_the_way(run, backed_up, tasks, start):
    worker = start("worker", "my_tasks.MyWorkerSettings", stderr=subprocess.STDOUT)
    assert "serves default" in worker.stdout.readline()
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert run("restore", BACKUP, "--force").code == 0


def test_a_database_so_damaged_that_nothing_can_be_told_of_it_is_replaced_by_force(run, backed_up):
    Path(DATABASE).write_text("dear diary\n" * 1000, encoding="utf-8")
    assert run("restore", BACKUP).code == 7
    ended = run("restore", BACKUP, "--force")
    assert ended.code == 0
    assert ids(DATABASE) == ["a"]
    kept = ended.out.splitlines()[1].partition(" kept as ")[2]
    assert Path(kept).read_text(encoding="utf-8") == "dear diary\n" * 1000


HOLD = """
import os, time
from sqlite_job import WorkerSettings


def hold():
    while not os.path.exists("release"):
        print("holding", flush=True)
        time.sleep(0.05)
    return "released"


class MyWorkerSettings(WorkerSettings):
    functions = [hold]
"""


def test_a_job_that_was_running_in_the_backup_is_rescued_by_the_first_worker(jobs, tasks, start, run):
    tasks.write_text(HOLD, encoding="utf-8")
    job = jobs.with_options(job_id="held").enqueue("hold")
    worker = start("worker", "my_tasks.MyWorkerSettings")
    assert worker.stdout.readline() == "holding\n"
    assert run("backup", BACKUP).code == 0
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    jobs.close()
    assert run("restore", BACKUP, "--force").code == 0
    assert jobs.get_job(job).status is JobStatus.RUNNING

    Path("release").touch()
    out, _ = start("worker", "my_tasks.MyWorkerSettings", "--burst").communicate(timeout=60)
    assert out == "Ran 1 job\n"
    assert (jobs.get_job(job).result, jobs.get_job(job).deaths) == ("'released'", 1)


def test_only_a_database_of_ours_is_restored(run, backed_up, folder):
    before = sorted(path.name for path in folder.iterdir())
    Path("text").write_text("dear diary\n" * 100, encoding="utf-8")
    connection = sqlite3.connect("theirs.db")
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    for name, message in (
        ("text", "is not a SQLite database"),
        ("theirs.db", "has no tables of sqlite-job"),
        ("missing.db", "There is no file"),
    ):
        ended = run("restore", name, "--database", "new.db")
        assert (ended.code, ended.out) == (5, "")
        assert message in ended.err
    assert sorted(path.name for path in folder.iterdir()) == sorted([*before, "text", "theirs.db"])


def test_a_backup_of_a_newer_version_or_with_a_strangers_trigger_is_not_restored(backed_up):
    connection = sqlite3.connect(BACKUP, isolation_level=None)
    connection.execute("CREATE TRIGGER evil AFTER INSERT ON sqlitejob_job BEGIN SELECT 1; END")
    connection.close()
    with pytest.raises(Exception, match="trigger 'evil'"):
        restore(BACKUP, "new.db")
    connection = sqlite3.connect(BACKUP, isolation_level=None)
    connection.execute("UPDATE sqlitejob_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(DatabaseTooNewError):
        restore(BACKUP, "new.db")
    assert not Path("new.db").exists()


def test_a_restore_waits_for_nobody_who_never_ends(backed_up, monkeypatch):
    monkeypatch.setattr(backup_module, "_PATIENCE_SECONDS", 0.2)
    program = f"""
import sys
from sqlite_job.storage.gate import Gate
with Gate({DATABASE + "-gate"!r}):
    print("inside", flush=True)
    sys.stdin.readline()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True
    )
    assert holder.stdout.readline() == "inside\n"
    with pytest.raises(BackupRefusedError, match=r"has been writing to .* for 0\.2 s"):
        restore(BACKUP, DATABASE, force=True)
    holder.communicate("end\n", timeout=60)
    assert ids(DATABASE) == ["a", "b"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away: run as root")
def test_what_root_restores_belongs_to_the_owner_of_what_was_there(backed_up):
    os.chown(DATABASE, 12345, 12345)
    restore(BACKUP, DATABASE, force=True)
    for name in (DATABASE, f"{DATABASE}-gate"):
        assert (os.stat(name).st_uid, os.stat(name).st_gid) == (12345, 12345)


def test_the_doctor_has_nothing_against_a_restored_database(backed_up):
    restore(BACKUP, "new.db")
    assert {one.level.value for one in Inspector("new.db").examine(full=True) if one.check != "Workers"} == {"ok"}
