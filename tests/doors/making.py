"""Make settings and workers for the tests of the doors, and wait for what happens in other threads."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import threading
import time

import pytest

from sqlite_job import Inspector, JobStatus, SQLiteJob, Worker, WorkerSettings, task

# How long a test waits for what should happen at once: reached only when something is broken.
DEADLINE = 20

kinds = pytest.mark.parametrize("kind", ["plain", "coroutine"])


def as_kind(function, kind, name="work", **options):
    """Return a task of that name: of the function as it is, or of a coroutine function that does the same."""

    async def coroutine(*args, **kwargs):
        await asyncio.sleep(0)
        found = function(*args, **kwargs)
        return await found if inspect.isawaitable(found) else found

    return task(function if kind == "plain" else coroutine, name=name, **options)


def nothing(*_):
    """Do the least a job can do."""
    return "done"


def settings_of(database, *functions, **knobs):
    """Return settings named Settings, with these functions and knobs."""
    kind = type("Settings", (WorkerSettings,), {"functions": list(functions), "shutdown_timeout": 1, **knobs})
    return kind(database)


def drain(settings, queues="default"):
    """Run a worker until nothing is ready, and return how many jobs it ran."""
    return Worker(queues, settings).run(burst=True)


def run_all(settings, *jobs):
    """Run a worker until these jobs have ended, however they did, and return what is known of each.

    Not in burst mode, which would never end if the worker lost a job.
    """
    inspector = Inspector(settings.location)
    with Worker("default", settings).running_in_background():
        return [inspector.wait(job, timeout=DEADLINE) for job in jobs]


def run_beside_another(database, function, kind, *args, **knobs):
    """Run a job of that function and one that does nothing; return what is known of the first, and the first.

    One slot, and both of one kind: what breaks the executor keeps the other from running.
    """
    functions = [as_kind(function, kind), as_kind(nothing, kind, "other")]
    settings = settings_of(database, *functions, **{"max_jobs": 1, **knobs})
    jobs = SQLiteJob("default", settings)
    first, other = jobs.enqueue("work", *args), jobs.enqueue("other")
    info, after = run_all(settings, first, other)
    assert after.status is JobStatus.COMPLETED
    assert other.result(timeout=0) == "done"
    return info, first


def wait_until(is_so):
    """Return once `is_so()` is true; for what has no event to wait for."""
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def threads_named(start):
    """Return the threads of this process whose names start so."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(start)]


def own_threads():
    """Return all threads but the one that keeps a connection to PostgreSQL for some time, for whoever comes next."""
    return {thread for thread in threading.enumerate() if thread.name != "sqlite-job-listener"}


def is_on_server(database):
    """Tell whether what a test was given is PostgreSQL."""
    return isinstance(database, str) and database.startswith("postgresql")


def execute(database, statement, *values):
    """Run one statement, with parameters as `?`, on the database as another program would; return its rows, if any."""
    if is_on_server(database):
        return execute_on_server(database, statement.replace("?", "%s"), values)
    connection = sqlite3.connect(database)
    try:
        with connection:
            return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


def execute_on_server(database, statement, values):
    with connect_to_server(database) as connection:
        cursor = connection.execute(statement, values or None)
        return [] if cursor.description is None else cursor.fetchall()


def connect(database):
    """Return a connection of the driver's own, which begins a transaction by itself."""
    return connect_to_server(database) if is_on_server(database) else sqlite3.connect(database)


def connect_to_server(database, **options):
    """Return a connection of psycopg's own to the database of a URL, in the schema that it names."""
    import psycopg  # where there is none, only tests on files are run

    url, _, schema = database.replace("postgresql+psycopg", "postgresql").partition("?schema=")
    return psycopg.connect(url, options=f"-c search_path={schema or 'public'}", **options)


def is_opened(database):
    """Tell whether anybody has opened this database: there is a file, or a connection."""
    if is_on_server(database):
        ours = "SELECT FROM pg_stat_activity WHERE application_name = 'sqlite-job' AND datname = current_database()"
        return execute(database, ours) != []
    return database.exists()


def count_jobs(database):
    """Return how many jobs are stored."""
    return sum(SQLiteJob(database=database).counts().values())
