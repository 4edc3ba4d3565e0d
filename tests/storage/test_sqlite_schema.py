"""The schema on SQLite: migrations make what the tables say, and every hot statement has its index."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.schema import CreateIndex, CreateTable

from sqlite_job.core.states import JobStatus
from sqlite_job.storage import schema
from sqlite_job.storage.migrating import MIGRATIONS
from sqlite_job.storage.revisions import HEAD, VERSION_TABLE
from sqlite_job.storage.sql import (
    belongings,
    completion,
    expiry,
    group,
    job,
    payload,
    queue,
    rate,
    schedule,
    take,
    unique,
)
from sqlite_job.storage.sql.glance import GLANCE
from sqlite_job.storage.sqlite import _DIALECT, SqliteStorage
from sqlite_job.storage.tables import metadata
from tests.storage.making import new_job


@pytest.fixture
def connection(path):
    """A connection to a fresh database."""
    storage = SqliteStorage(path, "full")
    storage.enqueue([new_job()])
    storage.close()
    made = sqlite3.connect(path, isolation_level=None)
    yield made
    made.close()


def normal(sql):
    return " ".join(sql.replace('"', "").split()).lower().replace("( ", "(").replace(" )", ")").replace(" ,", ",")


def test_the_newest_migration_is_the_one_the_code_expects():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_migrations_make_exactly_the_tables_and_indexes_of_the_code(connection):
    made = {
        name: normal(sql)
        for name, sql in connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    }
    wanted = {table.name: normal(str(CreateTable(table).compile(dialect=_DIALECT))) for table in metadata.sorted_tables}
    for table in metadata.sorted_tables:
        wanted.update(
            {index.name: normal(str(CreateIndex(index).compile(dialect=_DIALECT))) for index in table.indexes}
        )
    assert {name: made.get(name) for name in wanted} == wanted
    assert set(made) - set(wanted) == {"sqlitejob_version", "sqlite_sequence"}


def test_alembic_itself_sees_no_difference(path, connection):
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as bound:
        context = MigrationContext.configure(bound, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_processes_that_create_the_same_file_at_once_all_succeed(path):
    program = f"""
from sqlite_job.storage.sqlite import SqliteStorage
from tests.storage.making import new_job
import sys
storage = SqliteStorage({path!r}, "full")
sys.stdin.readline()
storage.enqueue([new_job(sys.argv[1])])
"""
    root = Path(__file__).parents[2]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, f"racer-{n}"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=root,
        )
        for n in range(4)
    ]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    errors = [racer.communicate(timeout=60)[1] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4, errors

    storage = SqliteStorage(path, "full")
    assert all(storage.get(f"racer-{n}") for n in range(4))
    storage.close()


def test_an_interrupted_creation_is_taken_up_again(path):
    # As if the process had died between the file's creation and the first migration.
    schema.files.create_private(path)
    schema._initialise(path)

    storage = SqliteStorage(path, "full")
    storage.enqueue([new_job("a")])
    assert storage.get("a").id == "a"
    storage.close()


@pytest.mark.parametrize(
    ("statement", "arguments", "plan"),
    [
        (take.CLAIMABLE, ("default", '["add"]', 0, 10), "USING INDEX sqlitejob_claimable (queue=?)"),
        (take.CLAIMABLE, ("default", '["add"]', 0, 10), "sqlitejob_payload USING INTEGER PRIMARY KEY (rowid=?)"),
        (take.TAKE, (0, 1, "[1]"), "sqlitejob_job USING INTEGER PRIMARY KEY (rowid=?)"),
        (job.IS_CLAIMABLE, ("default", '["add"]', 0), "USING INDEX sqlitejob_claimable (queue=?)"),
        (job.PROMOTE, (0,), "INDEX sqlitejob_due (run_at<?)"),
        (job.NEXT_RUN_AT, (), "INDEX sqlitejob_due"),
        (completion.COMPLETE, (0, 0, 1, 1), "USING INTEGER PRIMARY KEY (rowid=?)"),
        (completion.COMPLETE_SOME, (0, 0, 1, 1) * 20, "sqlitejob_job USING INTEGER PRIMARY KEY (rowid=?)"),
        (job.STATUS, ("a",), "INDEX sqlite_autoindex_sqlitejob_job_1 (id=?)"),
        (expiry.FIND, (0, 1), "INDEX sqlitejob_expiring (expires_at"),
        (group.IS_ANY_BLOCKED, (), "INDEX sqlitejob_blocked"),
        (queue.COUNT_RUNNING, ("default",), "USING INDEX sqlitejob_held"),
        (group.RELEASE, ("g",), "INDEX sqlitejob_grouped (group_key=? AND status=?)"),
        (group.OF_JOBS, ("[1]",), "USING INTEGER PRIMARY KEY (rowid=?)"),
        (rate.DUE, (0, '["default"]', '["add"]', 1), "INDEX sqlitejob_rate_next (next_at"),
        (rate.DUE, (0, '["default"]', '["add"]', 1), "INDEX sqlitejob_rated (rate_key=? AND status=?)"),
        (rate.CANDIDATES, ("k", '["default"]', '["add"]', 0, 1), "INDEX sqlitejob_rated (rate_key=? AND status=?)"),
        (rate.NEXT_AT, (0,), "INDEX sqlitejob_rate_next (next_at>?)"),
        (unique.HOLDER, ("k",), "PRIMARY KEY (key=?)"),
        (schedule.DUE, ('["add"]', 0), "INDEX sqlitejob_schedule_due (next_at<?)"),
        (schedule.NEXT_AT, ('["add"]', 0), "INDEX sqlitejob_schedule_due (next_at>?)"),
        (schedule.SOONEST, ('["add"]',), "INDEX sqlitejob_schedule_due (next_at>?)"),
        (schedule.FIRE, (0, 0, "a", "a", 0), "INDEX sqlite_autoindex_sqlitejob_schedule_1 (name=?)"),
        (payload.OF_JOB, ("a",), "INDEX sqlite_autoindex_sqlitejob_job_1 (id=?)"),
        (payload.OF_CLAIMED, ("[1]",), "USING INTEGER PRIMARY KEY (rowid=?)"),
        (job.FINISHED, (0, 0, 1, 10), "USING INDEX sqlitejob_finished (finished_at>? AND finished_at<?)"),
        (job.ENDS, ("[1]",), "USING INTEGER PRIMARY KEY (rowid=?)"),
        (belongings.RELEASE_KEY, ("a", 1), "USING PRIMARY KEY (key=?)"),
        *((statement, (1,), "(seq=?)") for statement in belongings.DELETE_ALL[2:4]),
    ],
)
def test_each_hot_statement_uses_its_index(connection, statement, arguments, plan):
    text, arrange = statement.compiled[_DIALECT]
    rows = connection.execute("EXPLAIN QUERY PLAN " + text, arrange(arguments) if arrange else arguments).fetchall()
    details = [row[3] for row in rows]
    assert any(plan in detail for detail in details), details
    assert not any("SCAN sqlitejob_" in detail and "INDEX" not in detail for detail in details), details
    assert not any("TEMP B-TREE" in detail for detail in details), details


def test_the_glance_reads_no_table_but_those_that_are_as_good_as_empty(connection):
    text, _ = GLANCE.compiled[_DIALECT]
    details = [row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + text, (1, 0)).fetchall()]
    for used in ("sqlitejob_worker USING INTEGER PRIMARY KEY", "INDEX sqlitejob_due (run_at<?)", "sqlitejob_blocked"):
        assert any(used in detail for detail in details), details
    scanned = {detail.split()[1] for detail in details if detail.startswith("SCAN") and "INDEX" not in detail}
    assert scanned <= {"sqlitejob_suspect", "sqlitejob_queue", "CONSTANT"}, details
    assert not any("TEMP B-TREE" in detail for detail in details), details


@pytest.mark.parametrize("status", list(JobStatus))
def test_finished_at_is_set_if_and_only_if_the_status_is_final(connection, status):
    run_at = 1 if status is JobStatus.SCHEDULED else None
    columns = "id, queue, function, status, created_at, run_at, finished_at"
    insert = f"INSERT INTO sqlitejob_job ({columns}) VALUES (?, 'q', 'f', ?, 0, ?, ?)"
    good, bad = (5, None) if status.is_final else (None, 5)
    connection.execute(insert, ("good", status.value, run_at, good))
    with pytest.raises(sqlite3.IntegrityError, match="sqlitejob_job_finished"):
        connection.execute(insert, ("bad", status.value, run_at, bad))


def test_a_status_that_does_not_exist_is_refused_by_the_database(connection):
    with pytest.raises(sqlite3.IntegrityError, match="sqlitejob_job_status"):
        connection.execute("UPDATE sqlitejob_job SET status = 'lost'")


def test_a_scheduled_job_needs_a_time(connection):
    with pytest.raises(sqlite3.IntegrityError, match="sqlitejob_job_scheduled"):
        connection.execute("UPDATE sqlitejob_job SET status = 'scheduled'")
