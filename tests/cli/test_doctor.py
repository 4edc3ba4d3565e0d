from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from sqlite_job import Inspector, SQLiteJob, Worker, WorkerSettings
from sqlite_job.storage import examination, filesystem, surroundings
from sqlite_job.storage.surroundings import check_library, has_reset_bug
from tests.cli.conftest import DATABASE

CHECKS = [
    *("SQLite", "File system", "Disk", "Files", "Size", "In use", "Schema", "Pragmas", "Free pages", "Write lock"),
    *("Workers", "Running jobs", "Rows", "Integrity"),
]


def add(a, b):
    return a + b


class Settings(WorkerSettings):
    functions = [add]
    database = DATABASE


@pytest.fixture
def healthy(jobs, work):
    """A database with one finished job, and no worker."""
    jobs.enqueue("add", 1, 2)
    work(add)
    jobs.close()


@pytest.fixture
def examine(folder):
    """Return the findings of one check, or all, by level."""

    def examine_one(check=None, **options):
        found = Inspector(folder / DATABASE).examine(**options)
        return [one for one in found if check is None or one.check == check]

    return examine_one


def change(*statements):
    connection = sqlite3.connect(DATABASE, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


# ---- the command


def test_a_healthy_database_gets_a_line_for_each_check_and_exit_code_0(run, folder, healthy):
    ended = run("doctor")
    lines = ended.out.splitlines()
    assert (ended.code, ended.err) == (0, "")
    assert lines[0] == f"Database {folder / DATABASE}"
    assert [line[9:23].strip() for line in lines[2:-2]] == CHECKS
    assert {line[:9].strip() for line in lines[2:-2]} == {"ok"}
    assert lines[-1] == "All is well"


def test_a_warning_has_its_mend_and_an_exit_code_of_its_own(run, jobs):
    jobs.enqueue("add", 1, 2)
    ended = run("doctor")
    assert ended.code == 8
    assert "warning  Workers       none, and 1 job waits" in ended.out
    assert "                       -> start one: sqlite-job worker MODULE.CLASS" in ended.out
    assert ended.out.splitlines()[-1] == "1 warning"


def test_what_is_wrong_has_an_exit_code_of_its_own_and_goes_before_warnings(run, jobs):
    jobs.enqueue("add", 1, 2)
    os.chmod(DATABASE, 0o666)
    ended = run("doctor")
    assert ended.code == 9
    assert "error    Files" in ended.out
    assert ended.out.splitlines()[-1] == "1 error, 1 warning"


def test_as_json_each_finding_has_its_level_and_mend(run, folder, healthy):
    ended = run("doctor", "--json")
    facts = json.loads(ended.out)
    assert (ended.code, facts["database"], facts["level"]) == (0, str(folder / DATABASE), "ok")
    assert [finding["check"] for finding in facts["findings"]] == CHECKS
    assert set(facts["findings"][0]) == {"check", "level", "message", "mend"}


def test_full_checks_every_index(run, healthy):
    assert "quick_check found nothing" in run("doctor").out
    assert "integrity_check found nothing" in run("doctor", "--full").out


def test_it_makes_nothing_and_changes_nothing(run, folder, healthy):
    for name in (f"{DATABASE}-gate", f"{DATABASE}-workers"):
        os.unlink(name)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run("doctor").code == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_without_a_database_it_says_where_it_looked(run, folder):
    ended = run("doctor")
    assert (ended.code, ended.out) == (5, "")
    assert "There is no database" in ended.err
    assert list(folder.iterdir()) == []


# ---- SQLite's versions


@pytest.mark.parametrize("version", [(3, 7, 0), (3, 40, 1), (3, 44, 5), (3, 45, 0), (3, 50, 6), (3, 51, 2)])
def test_versions_with_the_reset_bug(version):
    assert has_reset_bug(version)


@pytest.mark.parametrize("version", [(3, 6, 23), (3, 44, 6), (3, 44, 9), (3, 50, 7), (3, 51, 3), (3, 52, 0), (4, 0, 0)])
def test_versions_without_the_reset_bug(version):
    assert not has_reset_bug(version)


def test_the_finding_on_the_library():
    assert "sqlite-job makes none" in check_library((3, 40, 1)).message
    assert check_library((3, 51, 3)).message == "3.51.3"
    assert check_library((3, 34, 0)).level == "error"


# ---- the place


def test_a_network_file_system_is_wrong_unless_it_is_allowed(examine, healthy, folder, monkeypatch):
    text = f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:9 / {folder} rw - nfs4 server:/jobs rw\n"
    monkeypatch.setattr(filesystem, "read_of_system", lambda path: text)
    (finding,) = examine("File system")
    assert (finding.level, "lies on nfs4" in finding.message) == ("error", True)
    monkeypatch.setenv("SQLITE_JOB_ALLOW_NETWORK_FS", "1")
    (finding,) = examine("File system")
    assert (finding.level, "not local, and allowed" in finding.message) == ("warning", True)


def test_too_little_room_is_wrong_and_not_much_more_is_a_warning(examine, healthy, monkeypatch):
    monkeypatch.setattr(surroundings, "measure", lambda path: (50_000_000, 64_000_000))
    assert [one.level for one in examine("Disk")] == ["error"]
    monkeypatch.setattr(surroundings, "measure", lambda path: (100_000_000, 64_000_000))
    assert [one.level for one in examine("Disk")] == ["warning"]


def test_each_file_that_others_can_use_is_named(examine, jobs):
    jobs.enqueue("add", 1, 2)
    os.chmod(f"{DATABASE}-wal", 0o644)
    os.chmod(f"{DATABASE}-gate", 0o606)
    assert [(one.level.value, one.message.split(" ")[0], one.mend.split(" ")[:2]) for one in examine("Files")] == [
        ("warning", f"{DATABASE}-wal", ["chmod", "go-rwx"]),
        ("error", f"{DATABASE}-gate", ["chmod", "go-rwx"]),
    ]


def test_a_journal_that_a_reader_keeps_from_being_emptied_is_told_with_the_reader(examine, jobs, other, monkeypatch):
    jobs.enqueue("add", 1, 2)
    monkeypatch.setattr(surroundings, "LARGE_JOURNAL_BYTES", 1)
    (finding,) = examine("Size")
    assert (finding.level, "filled faster than emptied" in finding.message) == ("warning", True)
    if os.path.exists("/proc/locks"):
        pid = other("BEGIN", "SELECT count(*) FROM sqlitejob_job")
        (finding,) = examine("Size")
        assert f"cannot be emptied while somebody reads: process {pid} (" in finding.message


# ---- what is in it


def test_a_foreign_trigger_is_wrong_and_the_rest_is_examined_all_the_same(examine, healthy):
    change("CREATE TRIGGER evil AFTER INSERT ON sqlitejob_job BEGIN SELECT 1; END")
    (finding,) = examine("Schema")
    assert (finding.level, "trigger 'evil'" in finding.message) == ("error", True)
    assert [one.level for one in examine("Integrity")] == ["ok"]


def test_a_newer_schema_ends_the_examination(examine, healthy):
    change("UPDATE sqlitejob_version SET version_num = '9999'")
    assert [(one.check, one.level.value) for one in examine()][-1] == ("Schema", "error")


def test_a_database_of_somebody_else_ends_the_examination(run, folder):
    connection = sqlite3.connect(DATABASE)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    os.chmod(DATABASE, 0o600)
    ended = run("doctor")
    assert (ended.code, "has no tables of sqlite-job" in ended.out) == (9, True)
    assert list(folder.iterdir()) == [folder / DATABASE]


def test_a_file_that_is_no_database_is_said_to_be_none_and_left_as_it_is(run, folder):
    (folder / DATABASE).write_text("dear diary\n" * 500, encoding="utf-8")
    os.chmod(DATABASE, 0o600)
    ended = run("doctor")
    assert (ended.code, ended.out.count("is not a SQLite database")) == (9, 1)
    assert (folder / DATABASE).read_text(encoding="utf-8") == "dear diary\n" * 500


# Ends without closing anything, so that the journal stays, with one job in it and all others in the file.
FILL_AND_DIE = f"""
import os, signal, sqlite3
from sqlite_job import SQLiteJob
jobs = SQLiteJob(database={DATABASE!r})
for number in range(100):
    jobs.enqueue("add", number, "x" * 2000)
jobs._storage._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
jobs.enqueue("add", 1, 2)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_damage_is_found_and_file_and_journal_are_left_as_they_are(folder):
    subprocess.run([sys.executable, "-c", FILL_AND_DIE], check=False, timeout=60)
    file, journal = folder / DATABASE, folder / f"{DATABASE}-wal"
    with file.open("r+b") as stream:
        stream.seek(4096)
        stream.write(os.urandom(file.stat().st_size - 4096))
    before = (file.read_bytes(), journal.read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "sqlite_job", "doctor"], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 9, done.stderr
    assert "error    Integrity" in done.stdout
    assert "restore a backup" in done.stdout
    assert (file.read_bytes(), journal.read_bytes()) == before


def test_rows_that_do_not_belong_together_are_counted(examine, jobs, work):
    for number in range(3):
        jobs.with_options(job_id=f"job-{number}", tags=["t"]).enqueue("add", number, 2)
    work(add)
    change(
        "DELETE FROM sqlitejob_job WHERE id = 'job-0'",
        "DELETE FROM sqlitejob_payload WHERE seq = (SELECT seq FROM sqlitejob_job WHERE id = 'job-1')",
    )
    (finding,) = examine("Rows")
    assert finding.level == "warning"
    assert finding.message == (
        "1 jobs without arguments, 1 arguments without a job, 1 results without a job, 1 tags without a job"
    )


# ---- workers and locks


def test_workers_that_live_are_named(examine, jobs):
    with Worker("default", Settings()).running_in_background():
        (finding,) = examine("Workers")
    assert (finding.level.value, finding.message) == ("ok", f"alive: 1 (process {os.getpid()})")


def test_a_killed_worker_and_its_job_are_told(examine, jobs, tasks, start):
    tasks.write_text(
        "import time\nfrom sqlite_job import WorkerSettings\n"
        "def hold():\n    print('holding', flush=True)\n    time.sleep(60)\n"
        "class MyWorkerSettings(WorkerSettings):\n    functions = [hold]\n",
        encoding="utf-8",
    )
    jobs.enqueue("hold")
    worker = start("worker", "my_tasks.MyWorkerSettings")
    assert worker.stdout.readline() == "holding\n"
    worker.send_signal(signal.SIGKILL)
    worker.wait()

    (finding,) = examine("Workers")
    assert finding.level == "warning"
    assert f"worker 1 (process {worker.pid} on " in finding.message
    (finding,) = examine("Running jobs")
    assert (finding.level.value, finding.message) == ("warning", "1 of 1 are held by no worker that lives")


@pytest.fixture
def other(folder):
    """Run statements in another process, which then holds what it holds; returns its process id."""
    program = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement).fetchmany(1)
print("ready", flush=True)
sys.stdin.readline()
"""
    started = []

    def begin(*statements):
        process = subprocess.Popen(
            [sys.executable, "-c", program, DATABASE, *statements],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process.pid

    yield begin
    for process in started:
        process.communicate("end\n", timeout=60)


def test_a_stranger_that_holds_the_write_lock_is_named(examine, healthy, other, monkeypatch):
    monkeypatch.setattr(examination, "_PATIENCE_SECONDS", 0.2)
    pid = other("BEGIN IMMEDIATE")
    (finding,) = examine("Write lock")
    assert finding.level == "warning"
    assert "past the gate" in finding.message
    if os.path.exists("/proc/locks"):
        assert f"process {pid} (" in finding.message


def test_a_writer_of_ours_that_holds_the_gate_is_named(examine, jobs, tasks, start, monkeypatch):
    jobs.enqueue("add", 1, 2)
    monkeypatch.setattr(examination, "_PATIENCE_SECONDS", 0.2)
    program = f"""
import sys
from sqlite_job.storage.gate import Gate
gate = Gate({DATABASE + "-gate"!r})
with gate:
    print("inside", flush=True)
    sys.stdin.readline()
"""
    holder = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True
    )
    assert holder.stdout.readline() == "inside\n"
    (finding,) = examine("Write lock")
    holder.communicate("end\n", timeout=60)
    assert (finding.level, "held for 0.2 s and more by" in finding.message) == ("warning", True)
    if os.path.exists("/proc/locks"):
        assert f"process {holder.pid} (" in finding.message
    assert [one.level for one in examine("Write lock")] == ["ok"]


def test_a_database_in_use_can_be_examined_while_others_write(run, jobs, start, tasks):
    for number in range(50):
        jobs.enqueue("add_numbers", number, 1)
    with Worker("default", Settings()).running_in_background():
        door = SQLiteJob(database=DATABASE)
        for _ in range(3):
            door.enqueue("add", 1, 2)
            assert run("doctor").code in (0, 8)
