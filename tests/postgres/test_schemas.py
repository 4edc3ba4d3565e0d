"""Tables on PostgreSQL: made as the code says, in any schema, by many at once, and apart from other schemas."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from sqlite_job.core.errors import DatabaseUnavailableError
from sqlite_job.core.jobs import Conditions
from sqlite_job.core.states import JobStatus
from sqlite_job.storage.postgres.address import Address, parse
from sqlite_job.storage.postgres.storage import PostgresStorage
from sqlite_job.storage.revisions import VERSION_TABLE
from sqlite_job.storage.tables import metadata
from tests.postgres.interleaving import HeldStorage, wait_until
from tests.storage.making import LEASE, NOW, claim, completed, new_job, settle

ROOT = Path(__file__).parents[2]
ODD = 'My "Jobs\'s" $1 ü'


def in_schema(url, schema):
    return make_url(url).update_query_dict({"schema": schema}).render_as_string(hide_password=False)


@pytest.fixture
def storages(postgres_url):
    """Storages on schemas of one database, by the name of the schema."""
    made = []

    def make(schema, kind=PostgresStorage):
        made.append(kind(Address(parse(postgres_url).url, schema), "full"))
        return made[-1]

    yield make
    for storage in made:
        storage.close()


@pytest.fixture
def connection(postgres_url):
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as made:
        yield made


@pytest.mark.parametrize("schema", [None, "jobs", ODD])
def test_alembic_sees_no_difference_between_the_tables_and_the_code(empty_postgres_url, schema):
    storage = PostgresStorage(Address(parse(empty_postgres_url).url, schema), "full")
    storage.enqueue([new_job()])
    storage.close()

    engine = create_engine(empty_postgres_url)
    with engine.connect() as bound:
        if schema is not None:
            quoted = engine.dialect.identifier_preparer.quote_identifier(schema)
            bound.exec_driver_sql(f"SET search_path TO {quoted}")
        context = MigrationContext.configure(bound, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
        # It says nothing of conditions.
        made = dict(bound.exec_driver_sql("SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint").fetchall())
        assert {name for name in made if name.startswith("sqlitejob_job_")} >= {
            "sqlitejob_job_status",
            "sqlitejob_job_finished",
            "sqlitejob_job_scheduled",
        }
    engine.dispose()


PROGRAM = """
from sqlite_job.storage.opening import open_storage
from tests.storage.making import new_job
import sys
storage = open_storage(sys.argv[1], "full")
sys.stdin.readline()
storage.enqueue([new_job(sys.argv[2])])
"""


@pytest.mark.parametrize("schema", [None, ODD])
def test_processes_that_create_the_same_tables_at_once_all_succeed(empty_postgres_url, schema):
    url = empty_postgres_url if schema is None else in_schema(empty_postgres_url, schema)
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen([sys.executable, "-c", PROGRAM, url, f"racer-{n}"], cwd=ROOT, **pipes) for n in range(4)]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    errors = [racer.communicate(timeout=60)[1] for racer in racers]
    assert [racer.returncode for racer in racers] == [0] * 4, errors
    storage = PostgresStorage(parse(url), "full")
    assert all(storage.get(f"racer-{n}") for n in range(4))
    storage.close()


def test_a_schema_whose_name_needs_quotes_does_all_a_queue_does(storages):
    storage = storages(ODD)
    worker_id = storage.register_worker(("default",), NOW, LEASE)
    limits = Conditions(group_key="g", group_limit=1, rate_key="r", rate_starts=9, rate_per=1, unique_key="u")
    storage.enqueue([new_job("a", conditions=limits, tags='["t"]'), new_job("b", run_at=NOW + 1), new_job("c")])
    claimed = claim(storage, worker_id=worker_id, now=NOW + 2)
    assert settle(storage, *map(completed, claimed), worker_id=worker_id) == []
    assert {name: storage.get(name).status for name in "abc"} == dict.fromkeys("abc", JobStatus.COMPLETED)
    storage.requeue("b", NOW)
    storage.delete("a")
    storage.unregister_worker(worker_id)


@pytest.mark.parametrize("name", ["100%", "a:b", "a\\b", "x" * 64, "pg_jobs"])
def test_a_name_that_no_schema_can_have_is_refused(name):
    with pytest.raises(DatabaseUnavailableError, match="A schema is named by"):
        parse("postgresql://here/db", name)


def test_jobs_of_two_schemas_do_not_see_each_other(storages):
    one, two = storages("one"), storages("two")
    one.enqueue([new_job("a")])
    two.enqueue([new_job("a", args=b"other")])
    assert (one.arguments("a").args, two.arguments("a").args) != (b"other", b"other")
    one.delete("a")
    assert two.get("a").status is JobStatus.PENDING


def test_a_watcher_hears_of_its_own_schema_only(storages):
    one, two = storages("one"), storages("two")
    two.workers()
    watcher = one.watch()
    while watcher.wait(0.1):  # the listener's first word, that something may have been missed before it
        pass
    two.enqueue([new_job()])
    assert not watcher.wait(0.3)
    one.enqueue([new_job()])
    assert watcher.wait(20)
    watcher.close()


def test_workers_of_two_schemas_have_locks_of_their_own(storages):
    one, two, other = storages("one"), storages("two"), storages("two")
    assert one.register_worker((), NOW, LEASE) == two.register_worker((), NOW, LEASE) == 1
    one.abandon_worker(1)
    two.enqueue([new_job("a")])
    assert [job.id for job in claim(two)] == ["a"]
    assert other.rescue(NOW, 3) == []  # the lock of the other schema's worker 1 is free, and not this one's
    two.abandon_worker(1)
    wait_until(lambda: [job.id for job in other.rescue(NOW, 3)] == ["a"], "the job is rescued")


def test_groups_of_two_schemas_do_not_wait_for_each_other(storages):
    one, two = storages("one", HeldStorage), storages("two")
    one.workers()
    grouped = Conditions(group_key="g", group_limit=1)
    one.hold()
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(one.enqueue, [new_job("a", conditions=grouped)])
        one.await_held()
        two.enqueue([new_job("b", conditions=grouped)])
        one.let_go()
        held.result(20)
    assert [one.get("a").status, two.get("b").status] == [JobStatus.PENDING] * 2


@pytest.fixture
def tables(connection, storages):
    storages(None).enqueue([new_job()])
    return connection


@pytest.mark.parametrize("status", list(JobStatus))
def test_finished_at_is_set_if_and_only_if_the_status_is_final(tables, status):
    run_at = 1 if status is JobStatus.SCHEDULED else None
    columns = "id, queue, function, status, created_at, run_at, finished_at"
    insert = f"INSERT INTO sqlitejob_job ({columns}) VALUES (%s, 'q', 'f', %s, 0, %s, %s)"
    good, bad = (5, None) if status.is_final else (None, 5)
    tables.execute(insert, ("good", status.value, run_at, good))
    with pytest.raises(psycopg.errors.CheckViolation, match="sqlitejob_job_finished"):
        tables.execute(insert, ("bad", status.value, run_at, bad))


def test_a_status_that_does_not_exist_is_refused_by_the_database(tables):
    with pytest.raises(psycopg.errors.CheckViolation, match="sqlitejob_job_status"):
        tables.execute("UPDATE sqlitejob_job SET status = 'lost'")


def test_a_scheduled_job_needs_a_time(tables):
    with pytest.raises(psycopg.errors.CheckViolation, match="sqlitejob_job_scheduled"):
        tables.execute("UPDATE sqlitejob_job SET status = 'scheduled'")
