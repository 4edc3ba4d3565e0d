"""Make settings and workers for the tests of the doors, and wait for what happens in other threads."""

from __future__ import annotations

import sqlite3
import threading
import time

from sqlite_job import Inspector, SQLiteJob, Worker, WorkerSettings

# How long a test waits for what should happen at once: reached only when something is broken.
DEADLINE = 20


def settings_of(database, *functions, **knobs):
    """Return settings named Settings, with these functions and knobs."""
    kind = type("Settings", (WorkerSettings,), {"functions": list(functions), "shutdown_timeout": 1, **knobs})
    return kind(database)


def drain(settings, queues="default"):
    """Run a worker until nothing is ready, and return how many jobs it ran."""
    return Worker(queues, settings).run(burst=True)


def run_all(settings, *jobs, worker=None):
    """Run a worker until these jobs have ended, however they did, and return what is known of each.

    Not in burst mode, which would never end if the worker lost a job.
    """
    inspector = Inspector(settings.location)
    with (worker or Worker("default", settings)).running_in_background():
        return [inspector.wait(job, timeout=DEADLINE) for job in jobs]


def wait_until(is_so):
    """Return once `is_so()` is true; for what has no event to wait for."""
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def threads_named(start):
    """Return the threads of this process whose names start so."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(start)]


def execute(database, statement, *values):
    """Run one statement on the database as another program would."""
    connection = sqlite3.connect(database)
    try:
        with connection:
            return connection.execute(statement, values).fetchall()
    finally:
        connection.close()


def count_jobs(database):
    """Return how many jobs are stored."""
    return sum(SQLiteJob(database=database).counts().values())
