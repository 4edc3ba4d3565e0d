"""Transactions that are shared, with real processes: jobs start at the user's commit; rows and completions agree."""

from __future__ import annotations

import random
import signal
import time
from contextlib import closing

import pytest

from sqlite_job import JobStatus, SQLiteJob
from tests.acceptance.processes import DEADLINE, wait_until
from tests.doors.making import connect

PROMISE = 0.2  # seconds from the user's commit to the start, on a machine that is busy with other tests

TASKS = """
from __future__ import annotations
import asyncio, time
from sqlalchemy import text
from sqlite_job import WorkerSettings, current_job, task

NOTE = text("INSERT INTO effects VALUES (:key)")

def started():
    return time.time()

def write(key, seconds):
    time.sleep(seconds)
    with current_job().transaction() as session:
        session.execute(NOTE, {"key": key})
        time.sleep(seconds)
        session.execute(NOTE, {"key": key})
    return key

async def write_later(key, seconds):
    async with current_job().transaction() as session:
        session.execute(NOTE, {"key": key})
        await asyncio.sleep(seconds)
        session.execute(NOTE, {"key": key})
    return key

class InThreads(WorkerSettings):
    functions = [started, write, write_later]
    database = "jobs.db"
    max_jobs = 4
    max_deaths = 100

class InProcesses(InThreads):
    executor = "process"
    max_jobs = 2
"""

RUN = """
import sys
import shared_tasks
from sqlite_job import Worker
Worker("default", getattr(shared_tasks, sys.argv[1])()).run()
"""


@pytest.fixture
def effects(place, jobs):
    """The tasks of this file in the place, and a table of the user's in the database."""
    place.write("shared_tasks.py", TASKS)
    jobs.counts()
    with closing(connect(place.database)) as connection:
        connection.execute("CREATE TABLE effects (key TEXT)")
        connection.commit()


def worker(place, settings="InThreads"):
    process = place.python(RUN, settings)
    process.wait_for_line("serves default")
    return process


def test_a_job_starts_at_the_users_commit_and_not_before(place, jobs, effects):
    worker(place)
    waits = []
    with closing(connect(place.database)) as connection:
        for _ in range(60):
            job = jobs.with_options(session=connection).enqueue("started")
            connection.execute("INSERT INTO effects VALUES ('a')")
            committing = time.time()
            connection.commit()
            committed = time.time()
            began = job.result(DEADLINE)
            assert began >= committing
            waits.append(began - committed)

    # A wake-up that is lost waits for the next look for dead workers, each second.
    assert len([wait for wait in waits if wait > PROMISE]) <= 2, sorted(waits)


@pytest.mark.files("SQLite spills what does not fit into its cache")
def test_a_large_transaction_that_spills_before_its_commit_wakes_nobody_too_early(place, jobs, effects):
    worker(place)
    with closing(connect(place.database)) as connection:
        connection.execute("PRAGMA cache_size=10")
        job = jobs.with_options(session=connection).enqueue("started")
        connection.executemany("INSERT INTO effects VALUES (?)", (("x" * 1000,) for _ in range(2000)))
        assert jobs.counts()[JobStatus.PENDING] == 0
        committing = time.time()
        connection.commit()

    assert committing <= job.result(DEADLINE)


@pytest.mark.parametrize("settings", ["InThreads", "InProcesses"])
def test_rows_and_completions_agree_whenever_workers_are_killed(place, effects, settings):
    """Exactly once: two rows for each completed job, none for any other, at each moment of the run."""
    chance = random.Random(settings)
    queue = SQLiteJob("default", database=place.database)
    for number in range(40):
        queue.enqueue(chance.choice(["write", "write_later"]), f"key-{number}", chance.choice([0, 0.005, 0.02]))
    kills = 0
    deadline = time.monotonic() + DEADLINE
    while queue.counts()[JobStatus.COMPLETED] < 40:
        assert time.monotonic() < deadline, queue.counts()
        process = worker(place, settings)
        seconds = chance.uniform(0.05, 0.4) if kills < 8 else DEADLINE
        end = time.monotonic() + seconds
        while time.monotonic() < end and queue.counts()[JobStatus.COMPLETED] < 40:
            check(place, queue)
            time.sleep(0.005)
        process.send(signal.SIGKILL)
        process.wait()
        kills += 1
        check(place, queue)

    assert kills > 3
    check(place, queue)
    assert place.integrity() == "ok"
    with closing(connect(place.database)) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT key) FROM effects").fetchone() == (80, 40)
    queue.close()


def check(place, queue):
    """Compare rows and completions, in one snapshot."""
    with closing(connect(place.database)) as connection:
        differing = connection.execute(
            "SELECT j.id, j.status, count(e.key) FROM sqlitejob_job j "
            "JOIN sqlitejob_payload p ON p.seq = j.seq "
            "LEFT JOIN effects e ON p.preview LIKE '''' || e.key || ''',%' "
            "GROUP BY j.seq HAVING count(e.key) != CASE j.status WHEN 'completed' THEN 2 ELSE 0 END"
        ).fetchall()
    assert differing == []


@pytest.mark.parametrize("function", ["write", "write_later"])
def test_a_time_limit_inside_of_the_block_rolls_back_in_a_job_process_too(place, jobs, effects, function):
    worker(place, "InProcesses")
    job = jobs.with_options(timeout=2).enqueue(function, "key", 1.5 if function == "write" else 600)
    wait_until(lambda: job.status().is_final, "the job does not end")

    assert job.info().error.startswith("JobTimeoutError")
    with closing(connect(place.database)) as connection:
        assert connection.execute("SELECT count(*) FROM effects").fetchone() == (0,)
    assert jobs.enqueue("write", "other", 0).result(DEADLINE) == "other"


def test_a_worker_that_was_frozen_past_its_lease_writes_no_rows_when_it_wakes(place, jobs, effects):
    place.write(
        "shared_tasks.py",
        TASKS
        + "\nimport os\ndef wait_then_write(key):\n"
        + "    open('started', 'w').close()\n"
        + "    while not os.path.exists('go'):\n        time.sleep(0.005)\n"
        + "    return write(key, 0)\n"
        + "class Short(InThreads):\n    functions = [wait_then_write]\n    lease = 3\n",
    )
    frozen = worker(place, "Short")
    job = jobs.enqueue("wait_then_write", "key")
    started = place.folder / "started"
    wait_until(started.exists, "the job does not start")
    frozen.send(signal.SIGSTOP)
    started.unlink()
    worker(place, "Short")
    wait_until(started.exists, "the job does not start again")
    (place.folder / "go").touch()
    assert job.result(DEADLINE) == "key"
    frozen.send(signal.SIGCONT)
    frozen.wait_for_line("too late")

    with closing(connect(place.database)) as connection:
        assert connection.execute("SELECT count(*) FROM effects").fetchone() == (2,)
