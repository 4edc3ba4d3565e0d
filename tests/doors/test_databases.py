"""Databases that cannot be used: a clear error of ours, and nothing is changed or left behind."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from sqlite_job import (
    DatabaseError,
    DatabaseTooNewError,
    DatabaseUnavailableError,
    Inspector,
    NotOurDatabaseError,
    SQLiteJob,
    SQLiteJobError,
    Worker,
)
from tests.doors.making import execute, settings_of


def echo(value=None):
    return value


def enqueue(database):
    SQLiteJob(database=database).enqueue("echo")


def look(database):
    SQLiteJob(database=database).counts()


def work(database):
    Worker("default", settings_of(database, echo)).run(burst=True)


def inspect(database):
    Inspector(database).workers()


every_door = pytest.mark.parametrize("use", [enqueue, look, work, inspect])


def contents(folder):
    return sorted((path.name, path.read_bytes() if path.is_file() else None) for path in folder.iterdir())


@every_door
def test_a_database_in_a_missing_folder_is_refused_with_the_folder_and_the_mend(tmp_path, use):
    missing = tmp_path / "missing" / "jobs.db"

    with pytest.raises(
        DatabaseUnavailableError, match=r"the folder '.*missing' does not exist; create it, or give"
    ) as error:
        use(missing)
    assert "jobs.db" in str(error.value)
    assert contents(tmp_path) == []


@every_door
def test_a_folder_is_no_database(tmp_path, use):
    folder = tmp_path / "jobs.db"
    folder.mkdir()

    with pytest.raises(NotOurDatabaseError, match="is not a file; give the path of a database file"):
        use(folder)
    assert contents(folder) == []


@every_door
@pytest.mark.parametrize("stranger", [b"hello, world\n" * 100, b"hi", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path, use, stranger):
    path = tmp_path / "jobs.db"
    path.write_bytes(stranger)
    path.chmod(0o600)

    with pytest.raises(DatabaseError, match=r"jobs\.db"):
        use(path)
    assert path.read_bytes() == stranger


@every_door
def test_the_database_of_another_application_is_refused_and_left_as_it_is(tmp_path, use):
    path = tmp_path / "jobs.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("PRAGMA application_id=0x12345678")
        theirs.execute("CREATE TABLE precious (id)")
    path.chmod(0o600)
    before = path.read_bytes()

    with pytest.raises(NotOurDatabaseError, match=r"belongs to another application .0x12345678.; give another path"):
        use(path)
    assert path.read_bytes() == before


@every_door
def test_the_database_of_a_newer_version_is_refused_with_the_mend(other_database, use):
    enqueue(other_database)
    execute(other_database, "UPDATE sqlitejob_version SET version_num='9999'")
    SQLiteJob(database=other_database).close()

    with pytest.raises(DatabaseTooNewError, match=r"was made by a newer sqlite-job .schema 9999.*upgrade sqlite-job"):
        use(other_database)


@pytest.mark.files("the server of the tests is made for us; tests/postgres/test_session.py has tables of the user's")
def test_a_database_with_tables_of_ones_own_takes_ours_beside_them(database):
    with closing(sqlite3.connect(database)) as mine:
        mine.execute("CREATE TABLE customer (id)")
        mine.execute("INSERT INTO customer VALUES (5)")
        mine.commit()
    database.chmod(0o600)

    enqueue(database)

    assert execute(database, "SELECT id FROM customer") == [(5,)]


@pytest.mark.files("they have modes")
@pytest.mark.skipif(os.name != "posix", reason="this system has no such modes")
def test_a_database_that_others_can_write_is_refused_with_the_command_that_mends_it(database):
    enqueue(database)
    SQLiteJob(database=database).close()
    database.chmod(0o666)

    with pytest.raises(DatabaseUnavailableError, match=r"can be written by others .mode 0666.* run: chmod go-w "):
        enqueue(database)


@pytest.mark.parametrize("database", [":memory:", "", "sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused_with_why(database):
    for use in (enqueue, inspect):
        with pytest.raises(
            DatabaseUnavailableError, match="in memory belongs to one connection, no worker could see it"
        ):
            use(database)


@pytest.mark.parametrize("database", ["postgresql+asyncpg://me@host/jobs", "mysql+pymysql://host/jobs"])
def test_a_database_of_another_kind_is_refused(database):
    for use in (enqueue, inspect):
        with pytest.raises(
            DatabaseUnavailableError, match="is not a database or driver that sqlite-job knows: give the path"
        ):
            use(database)


@pytest.mark.parametrize("database", ["a\0b", 5, b"jobs.db", ["jobs.db"]], ids=repr)
def test_what_is_no_path_is_refused_before_anything_is_done(database):
    for use in (enqueue, inspect):
        with pytest.raises((SQLiteJobError, TypeError, ValueError)):
            use(database)


def test_a_name_with_every_odd_character_is_a_database_like_any_other(tmp_path):
    path = tmp_path / "a b%20c?mode=ro#d&é'\"日.db"
    jobs = SQLiteJob(database=path)
    try:
        assert jobs.enqueue("echo").info().function == "echo"
    finally:
        jobs.close()
    assert path.exists()
    assert {item.name[: len(path.name)] for item in tmp_path.iterdir()} == {path.name}


# ---- without the rights ----------------------------------------------------------------------------------------------

# Imports and lazy imports are done before the rights are given up: the interpreter may lie in root's own folder.
CHILD = """
import os, sys
from sqlite_job import SQLiteJob, SQLiteJobError
path, warm = sys.argv[1:]
SQLiteJob(database=warm).enqueue("echo")
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    SQLiteJob(database=path).enqueue("echo")
    print("stored")
except SQLiteJobError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def open_folder():
    """A folder that every user can reach: pytest's own can be entered by whoever runs it only."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def enqueue_as_nobody(path, tmp_path):
    child = [sys.executable, "-W", "ignore", "-c", CHILD, str(path), str(tmp_path / "warm.db")]
    done = subprocess.run(child, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


without_rights = pytest.mark.skipif(not hasattr(os, "setuid"), reason="this system has no users to become")


@without_rights
def test_a_database_in_a_folder_that_cannot_be_written_is_refused_with_the_folder(open_folder, tmp_path):
    open_folder.chmod(0o555)

    said = enqueue_as_nobody(open_folder / "jobs.db", tmp_path)

    assert said.startswith("DatabaseUnavailableError Cannot make ")
    assert f"this user cannot write the folder '{os.path.realpath(open_folder)}'" in said
    assert list(open_folder.iterdir()) == []


@without_rights
def test_a_database_of_another_user_is_refused(open_folder, tmp_path):
    path = open_folder / "jobs.db"
    jobs = SQLiteJob(database=path)
    jobs.enqueue("echo")
    jobs.close()
    if os.geteuid() != 0:
        path.chmod(0o000)  # its owner, without the rights, is as good as another user
        (open_folder / "jobs.db-gate").chmod(0o000)

    said = enqueue_as_nobody(path, tmp_path)

    assert said.startswith(("DatabaseUnavailableError ", "DatabaseUnusableError "))
    assert str(os.path.realpath(path)) in said


@without_rights
def test_a_folder_that_nobody_may_enter_is_a_matter_of_rights(open_folder, tmp_path):
    inner = open_folder / "private"
    inner.mkdir(mode=0o700)
    path = inner / "below" / "jobs.db"
    path.parent.mkdir()
    if os.geteuid() != 0:
        inner.chmod(0o000)

    said = enqueue_as_nobody(path, tmp_path)
    inner.chmod(0o700)

    assert said.startswith("DatabaseUnavailableError ")
    assert "does not exist" not in said
