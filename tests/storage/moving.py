"""Make queues with something of everything, and read them without our own code, for the tests of a move."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing

from sqlite_job import Limit, RateLimit, SQLiteJob, Worker, WorkerSettings, call, current_job, every, task
from sqlite_job.core.clock import SystemClock
from sqlite_job.storage.opening import _make_storage, locate
from sqlite_job.storage.tables import metadata
from tests.storage.making import LEASE, wanted

MOVED_TABLES = sorted(set(metadata.tables) - {"sqlitejob_worker"})


def add(a, b):
    return a + b


def divide(a, b):
    return a / b


def tell(text):
    current_job().progress(1, 3, text)
    logging.getLogger("tests.moving").warning("said %s", text)
    return text


def hold():
    return "was held"


FUNCTIONS = [
    add,
    divide,
    task(tell, capture_logs=True),
    hold,
    task(add, name="limited", concurrency=Limit(1, key=lambda a, b: "all")),
    task(add, name="rated", rate_limit=RateLimit(1, 3600)),
]


class Settings(WorkerSettings):
    """Of a module, so that a child process finds them: a job whose worker died is run in one."""

    functions = FUNCTIONS


def settings_of(location):
    return Settings(location)


def fill(location, more=0):
    """Store jobs in every status, and a row in every table; `more` jobs besides, in one batch."""
    jobs = SQLiteJob("default", settings_of(location))
    jobs.with_options(tags=("a", "b"), meta={"n": 1}, priority=5, timeout=60).enqueue("add", 1, 2)
    jobs.with_options(job_id="text").enqueue("tell", "one \0 two, ä, \U0001f600")
    jobs.enqueue("divide", 1, 0)
    jobs.enqueue("rated", 1, 1)
    Worker("default", settings_of(location)).run(burst=True)
    claim_as_a_worker_that_dies(location, jobs)
    jobs.cancel(jobs.enqueue("add", 3, 4), reason="no need")
    jobs.with_options(delay=3600, expires=9000).enqueue("add", 5, 6)
    jobs.with_options(unique="only one", unique_for=3600).enqueue("add", 7, 8)
    jobs.enqueue("limited", 1, 1)
    jobs.enqueue("limited", 2, 2)
    jobs.enqueue("rated", 2, 2)
    jobs.schedules.create(every(3600, "add", [1, 2], name="hourly"))
    jobs.schedules.pause("hourly")
    jobs.pause("mail")
    jobs.enqueue_many([call("add", number, "x") for number in range(more)])
    return jobs


def claim_as_a_worker_that_dies(location, jobs):
    """Leave a job running that nobody runs, as a killed worker does, and one that its rescue has made a suspect."""
    storage = _make_storage(locate(location), "full", False)
    now = SystemClock().now()
    for name in ("suspect", "held"):
        jobs.with_options(job_id=name).enqueue("hold")
        worker_id = storage.register_worker(("default",), now, LEASE)
        exchange = storage.exchange(worker_id, [], wanted(functions=("hold",), takes_suspect=False), now)
        assert [job.id for job in exchange.claimed] == [name]
        storage.abandon_worker(worker_id)
        if name == "suspect":
            storage.unregister_worker(worker_id)
            assert [job.id for job in storage.rescue(now, 5)] == [name]
        else:
            storage.unregister_worker(worker_id)
    storage.close()


def contents(location):
    """Return the rows of every table but the workers', without the help of our own code, in a fixed order."""
    return {table: sorted(rows(location, table), key=repr) for table in MOVED_TABLES}


def rows(location, table):
    return execute(location, f"SELECT * FROM {{schema}}{table}")


def execute(location, statement):
    location = locate(location)
    if "://" not in location:
        with closing(sqlite3.connect(location, isolation_level=None)) as connection:
            return connection.execute(statement.format(schema="")).fetchall()
    import psycopg
    from sqlalchemy.engine import make_url

    url = make_url(location)
    schema = url.query.get("schema")
    plain = url.difference_update_query(["schema"]).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        cursor = connection.execute(statement.format(schema=f"{schema}." if schema else ""))
        return cursor.fetchall() if cursor.description else []


def as_on_a_server(found):
    """Return contents as PostgreSQL can store them."""
    return {
        table: sorted(
            (tuple(value.replace("\0", "\\0") if isinstance(value, str) else value for value in row) for row in rows),
            key=repr,
        )
        for table, rows in found.items()
    }
