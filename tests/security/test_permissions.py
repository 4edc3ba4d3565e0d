"""Rights on files: nobody else can write what a worker reads, whatever the umask and whoever was there before."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys

import pytest

from sqlite_job import DatabaseUnavailableError, DatabaseUnusableError, SQLiteJob, Worker
from sqlite_job.storage.sqlite_connection import connect, connect_plainly
from tests.doors.making import drain, settings_of

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="rights are those of POSIX"),
    pytest.mark.files("a server has rights of its own"),
]

as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")

COMPANIONS = ["jobs.db", "jobs.db-gate", "jobs.db-shm", "jobs.db-wal", "jobs.db-workers"]

# A producer and a worker of a program with that umask; it tells the modes of all files while the database is open.
PROGRAM = """
import json, os, stat, sys
from sqlite_job import SQLiteJob, Worker, WorkerSettings
os.umask(int(sys.argv[1], 8))
def add(a, b):
    return a + b
class Settings(WorkerSettings):
    functions = [add]
settings = Settings("jobs.db")
job = SQLiteJob("default", settings).enqueue(add, 1, 2)
with Worker("default", settings).running_in_background():
    assert job.result(timeout=20) == 3
    print(json.dumps({name: stat.S_IMODE(os.stat(name).st_mode) for name in os.listdir(".")}))
"""


def add(a, b):
    return a + b


def modes_with_umask(umask, folder):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, umask], cwd=folder, stdout=subprocess.PIPE, timeout=60, check=True, text=True
    )
    return {name: oct(mode) for name, mode in json.loads(done.stdout).items()}


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def refusal(database, error=DatabaseUnusableError):
    """Return why the database is refused, by a producer and by a worker alike."""
    with pytest.raises(error) as caught:
        SQLiteJob(database=database).enqueue("add", 1, 2)
    with pytest.raises(error):
        Worker("default", settings_of(database, add)).run(burst=True)
    return str(caught.value)


@pytest.mark.parametrize("umask", ["000", "002", "022", "077", "277", "777"])
def test_all_files_are_for_their_owner_alone_whatever_the_umask(tmp_path, umask):
    assert modes_with_umask(umask, tmp_path) == dict.fromkeys(COMPANIONS, "0o600")


def test_a_backup_of_another_mode_is_not_the_matter_of_lock_files(tmp_path):
    """A database that its owner lets others read stays so; the lock files are private all the same."""
    modes_with_umask("022", tmp_path)
    (tmp_path / "jobs.db").chmod(0o644)
    for name in ("jobs.db-gate", "jobs.db-workers"):
        (tmp_path / name).unlink()

    modes = modes_with_umask("000", tmp_path)

    assert modes == {
        **dict.fromkeys(COMPANIONS, "0o600"),
        **dict.fromkeys(["jobs.db", "jobs.db-shm", "jobs.db-wal"], "0o644"),
    }


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o660, 0o666, 0o777])
def test_a_database_that_others_can_write_is_refused_with_the_mend(database, mode):
    drain(settings_of(database, add))
    SQLiteJob(database=database).close()
    database.chmod(mode)

    message = refusal(database)

    assert f"can be written by others (mode {mode:04o})" in message
    assert f"chmod go-w {database}" in message
    database.chmod(0o644)
    assert SQLiteJob(database=database).enqueue("add", 1, 2)


# ---- what lies beside the database


def forged_journal(database, suffix, tmp_path):
    """Return a journal that would add a job to the database, if SQLite took it."""
    SQLiteJob(database=database).enqueue("add", 1, 2)
    SQLiteJob(database=database).close()
    copy = tmp_path / "copy" / "jobs.db"
    copy.parent.mkdir()
    shutil.copy(database, copy)
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.execute("UPDATE sqlitejob_job SET function = 'forged'")
    forged = copy.parent.parent / f"forged{suffix}"
    shutil.copy(f"{copy}-wal", forged)
    connection.close()
    return forged


def functions_in(database):
    return [info.function for info in SQLiteJob(database=database).list_jobs()]


def test_a_journal_beside_the_database_becomes_part_of_it(database, tmp_path):
    """Why the tests below are needed: this one is our own, and SQLite takes it, as it must after a crash."""
    forged = forged_journal(database, "-wal", tmp_path)
    shutil.copy(forged, f"{database}-wal")
    os.chmod(f"{database}-wal", 0o600)

    assert functions_in(database) == ["forged"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_journal_that_others_can_write_is_refused(database, tmp_path, mode):
    forged = forged_journal(database, "-wal", tmp_path)
    shutil.copy(forged, f"{database}-wal")
    os.chmod(f"{database}-wal", mode)

    assert f"jobs.db-wal' can be written by others (mode {mode:04o})" in refusal(database)
    os.unlink(f"{database}-wal")
    assert functions_in(database) == ["add"]


@pytest.mark.parametrize("connect", [connect_plainly, lambda path: connect(path, "full")])
def test_it_is_refused_at_each_connection_not_at_the_first_alone(database, tmp_path, connect):
    forged = forged_journal(database, "-wal", tmp_path)
    shutil.copy(forged, f"{database}-wal")
    os.chmod(f"{database}-wal", 0o666)

    with pytest.raises(DatabaseUnusableError, match="can be written by others"):
        connect(str(database))


@as_root
def test_a_journal_of_another_user_is_refused(database, tmp_path):
    forged = forged_journal(database, "-wal", tmp_path)
    shutil.copy(forged, f"{database}-wal")
    os.chmod(f"{database}-wal", 0o600)
    os.chown(f"{database}-wal", 12345, 12345)

    assert "jobs.db-wal' belongs to another user (uid 12345)" in refusal(database)
    os.unlink(f"{database}-wal")
    assert functions_in(database) == ["add"]


@as_root
def test_a_journal_of_the_owner_of_the_database_is_taken(database, tmp_path):
    forged = forged_journal(database, "-wal", tmp_path)
    shutil.copy(forged, f"{database}-wal")
    for path in (str(database), f"{database}-wal"):
        os.chmod(path, 0o600)
        os.chown(path, 12345, 12345)

    assert functions_in(database) == ["forged"]


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_journal_that_is_a_link_is_refused(database, tmp_path, suffix):
    forged = forged_journal(database, "-wal", tmp_path)
    os.symlink(forged, f"{database}{suffix}")
    before = forged.read_bytes()

    assert f"jobs.db{suffix}' is no regular file" in refusal(database)
    assert forged.read_bytes() == before


@pytest.mark.parametrize("lock_file", ["-gate", "-workers"])
def test_a_lock_file_that_is_a_link_is_refused_and_nothing_is_written_through_it(database, tmp_path, lock_file):
    dear = tmp_path / "dear.txt"
    dear.write_text("dear")
    os.symlink(dear, f"{database}{lock_file}")

    with pytest.raises(DatabaseUnavailableError, match="is a symbolic link, which sqlite-job did not make; remove it"):
        drain(settings_of(database, add))

    assert dear.read_text() == "dear"
    os.unlink(f"{database}{lock_file}")
    assert drain(settings_of(database, add)) == 0


def test_a_lock_file_is_not_made_through_a_dangling_link(database, tmp_path):
    os.symlink(tmp_path / "made", f"{database}-gate")

    refusal(database, DatabaseUnavailableError)

    assert not (tmp_path / "made").exists()


# ---- the folder


@pytest.fixture
def folder(tmp_path):
    """A folder whose mode a test changes; it is closed again at the end."""
    path = tmp_path / "folder"
    path.mkdir()
    yield path
    SQLiteJob(database=path / "jobs.db").close()
    path.chmod(0o700)


def warnings_in(caplog, folder):
    with caplog.at_level(logging.WARNING, "sqlite_job"):
        SQLiteJob(database=folder / "jobs.db").enqueue("add", 1, 2)
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("mode", [0o707, 0o777, 0o757, 0o703])
def test_a_folder_that_everybody_can_write_is_warned_of(folder, caplog, mode):
    folder.chmod(mode)

    (warning,) = warnings_in(caplog, folder)

    assert warning.startswith(f"Everybody can write the folder {folder}")
    assert f"chmod o-w {folder}" in warning


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o775, 0o1777])
def test_a_folder_of_ones_own_or_of_a_group_or_sticky_is_not_warned_of(folder, caplog, mode):
    folder.chmod(mode)

    assert warnings_in(caplog, folder) == []
