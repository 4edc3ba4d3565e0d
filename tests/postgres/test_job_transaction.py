"""current_job().transaction() on PostgreSQL, besides what tests/doors/test_job_transaction.py says of both."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time

import psycopg
import pytest
from sqlalchemy import text

from sqlite_job import JobStatus, SQLiteJob, Worker, WorkerSettings, current_job, task
from sqlite_job.core.events import OutcomesStale
from tests.doors.making import DEADLINE, drain, execute, run_all, settings_of, wait_until

OURS = """
FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'sqlite-job' AND xact_start IS NOT NULL
"""


def write(session, n=1):
    session.execute(text("INSERT INTO effects VALUES (:n)"), {"n": n})


def write_and_sleep(seconds):
    with current_job().transaction() as session:
        write(session)
        session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})
    return "slept"


async def write_and_sleep_in_coroutine(seconds):
    async with current_job().transaction() as session:
        write(session)
        # A statement blocks the event loop: what may take long is for a thread.
        await asyncio.get_running_loop().run_in_executor(
            None, lambda: session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})
        )
    return "slept"


def write_and_die():
    with current_job().transaction() as session:
        write(session)
        session.execute(text("SELECT 1"))
        os.kill(os.getpid(), signal.SIGKILL)


class Settings(WorkerSettings):
    functions = [
        task(write_and_sleep, name="thread"),
        task(write_and_sleep_in_coroutine, name="coroutine"),
        task(write_and_sleep, name="process", executor="process"),
        task(write_and_die, name="die", executor="process"),
    ]
    shutdown_timeout = 0.1
    max_deaths = 2


kinds = pytest.mark.parametrize("kind", ["thread", "coroutine", "process"])


@pytest.fixture
def database(postgres_url):
    SQLiteJob(database=postgres_url).counts()
    execute(postgres_url, "CREATE TABLE effects (n INTEGER)")
    yield postgres_url
    wait_until(lambda: transactions(postgres_url) == [])  # a process that was killed has its session for a moment
    SQLiteJob(database=postgres_url).close()


def transactions(database):
    """Return the states of our sessions that have a transaction open."""
    return [state for (state,) in execute(database, "SELECT state " + OURS)]


def is_sleeping(database):
    return execute(database, f"SELECT 1 {OURS} AND wait_event = 'PgSleep'") != []


def effects(database):
    return [n for (n,) in execute(database, "SELECT n FROM effects")]


def run_one(database, function):
    settings = settings_of(database, task(function, name="work"))
    job = SQLiteJob("default", settings).enqueue("work")
    worker, events = Worker("default", settings), []
    worker.subscribe(events.append)
    worker.run(burst=True)
    return job.info(), events


@kinds
def test_rows_and_completion_are_there_together(database, kind):
    settings = Settings(database)
    job = SQLiteJob("default", settings).enqueue(kind, 0)
    (info,) = run_all(settings, job)

    assert (info.status, job.result(timeout=0), effects(database)) == (JobStatus.COMPLETED, "slept", [1])


@kinds
def test_a_time_limit_ends_a_statement_that_waits_and_rolls_back(database, kind):
    settings = Settings(database)
    job = SQLiteJob("default", settings).with_options(timeout=1).enqueue(kind, 600)
    began = time.monotonic()
    (info,) = run_all(settings, job)

    assert info.error.startswith("JobTimeoutError")
    assert effects(database) == []
    assert time.monotonic() - began < DEADLINE / 2
    wait_until(lambda: not is_sleeping(database))


@kinds
def test_a_cancelled_job_ends_its_statement_and_rolls_back(database, kind):
    settings = Settings(database)
    job = SQLiteJob("default", settings).enqueue(kind, 600)
    with Worker("default", settings).running_in_background():
        wait_until(lambda: is_sleeping(database))
        job.cancel("enough")
        wait_until(lambda: job.status() is JobStatus.CANCELLED)
        wait_until(lambda: not is_sleeping(database))

    assert effects(database) == []


@kinds
def test_the_end_of_the_worker_ends_the_statement_and_returns_the_job(database, kind):
    settings = Settings(database)
    job = SQLiteJob("default", settings).enqueue(kind, 600)
    with Worker("default", settings).running_in_background():
        wait_until(lambda: is_sleeping(database))

    assert (job.status(), job.info().tries, effects(database)) == (JobStatus.PENDING, 0, [])
    wait_until(lambda: not is_sleeping(database))


def test_what_dies_in_the_middle_has_written_nothing(database):
    settings = Settings(database)
    job = SQLiteJob("default", settings).enqueue("die")
    (info,) = run_all(settings, job)

    assert (info.status, info.deaths) == (JobStatus.FAILED, 2)
    assert effects(database) == []


def test_a_job_that_was_rescued_while_it_was_in_the_block_writes_nothing(database):
    def work():
        with current_job().transaction() as session:
            write(session)
            execute(database, "UPDATE sqlitejob_job SET claim_number = claim_number + 1")

    info, events = run_one(database, work)

    assert (info.status, effects(database)) == (JobStatus.RUNNING, [])
    (stale,) = (event for event in events if isinstance(event, OutcomesStale))
    assert [type(outcome).__name__ for outcome in stale.outcomes] == ["Completed"]


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK", "COMMIT; BEGIN"])
def test_an_end_of_the_transaction_that_is_not_ours_fails_the_try(database, statement):
    def work():
        with current_job().transaction() as session:
            session.connection().connection.driver_connection.execute(statement)

    info, _ = run_one(database, work)

    assert info.status is JobStatus.FAILED
    assert "ended before the job" in info.error


def test_a_statement_that_fails_leaves_a_transaction_that_may_only_be_undone(database):
    def swallow():
        with current_job().transaction() as session:
            write(session)
            try:
                session.execute(text("SELECT 1/0"))
            except Exception:  # as users do
                return "went on"

    info, _ = run_one(database, swallow)

    assert (info.status, effects(database)) == (JobStatus.FAILED, [])


def test_what_failed_in_a_savepoint_does_not_fail_the_job(database):
    def work():
        with current_job().transaction() as session:
            write(session, 1)
            try:
                with session.begin_nested():
                    write(session, 2)
                    session.execute(text("SELECT 1/0"))
            except Exception:
                write(session, 3)

    info, _ = run_one(database, work)

    assert (info.status, sorted(effects(database))) == (JobStatus.COMPLETED, [1, 3])


def test_an_enqueue_without_the_session_is_a_transaction_of_its_own(database):
    def work():
        with current_job().transaction() as session:
            write(session)
            SQLiteJob(database=database).enqueue("next")
            raise ValueError("no")

    settings = settings_of(database, task(work, name="work"), task(bool, name="next"))
    SQLiteJob("default", settings).enqueue("work")
    assert drain(settings) == 2
    assert effects(database) == []


def test_a_worker_has_its_own_connections_however_many_transactions_are_open(database):
    inside = threading.Barrier(24)

    def work():
        with current_job().transaction() as session:
            write(session)
            inside.wait(DEADLINE)

    settings = settings_of(database, task(work, name="work"), max_jobs=24)
    jobs = [SQLiteJob("default", settings).enqueue("work") for _ in range(24)]
    infos = run_all(settings, *jobs)

    assert [info.error for info in infos] == [None] * 24
    assert len(effects(database)) == 24


def test_the_pool_is_not_used_up_by_transactions_however_they_end(database):
    def work(number):
        with current_job().transaction() as session:
            write(session)
            if number % 4 == 1:
                raise ValueError("no")
            if number % 4 == 2:
                session.connection().connection.driver_connection.execute("COMMIT")
            if number % 4 == 3:
                session.connection().connection.driver_connection.close()

    settings = settings_of(database, task(work, name="work"))
    jobs = [SQLiteJob("default", settings).enqueue("work", number) for number in range(60)]
    infos = run_all(settings, *jobs)

    assert [info.status is JobStatus.COMPLETED for info in infos] == [number % 4 == 0 for number in range(60)]
    assert transactions(database) == []
    connections = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sqlite-job' AND datname = current_database()"
    )
    wait_until(lambda: execute(database, connections)[0][0] <= 5)  # four of the pool, and one that listens


def test_a_server_that_ends_the_session_fails_the_try_and_not_the_worker(database):
    def work(number):
        with current_job().transaction() as session:
            write(session)
            if number:
                pid = session.scalar(text("SELECT pg_backend_pid()"))
                execute(database, "SELECT pg_terminate_backend(?)", pid)

    settings = settings_of(database, task(work, name="work"))
    jobs = SQLiteJob("default", settings)
    cut, whole = run_all(settings, jobs.enqueue("work", 1), jobs.enqueue("work", 0))

    assert (cut.status, whole.status, len(effects(database))) == (JobStatus.FAILED, JobStatus.COMPLETED, 1)


def test_a_restart_of_the_server_before_the_block_is_waited_for(own_postgres_server):
    database = own_postgres_server.url

    def work():
        own_postgres_server.restart()
        with current_job().transaction() as session:
            write(session)

    SQLiteJob(database=database).counts()
    execute(database, "CREATE TABLE effects (n INTEGER)")
    info, _ = run_one(database, work)
    SQLiteJob(database=database).close()

    assert (info.error, info.status, effects(database)) == (None, JobStatus.COMPLETED, [1])


def test_other_jobs_are_enqueued_run_and_settled_meanwhile(database):
    inside, go_on = threading.Event(), threading.Event()

    def hold():
        with current_job().transaction() as session:
            write(session)
            inside.set()
            go_on.wait(DEADLINE)

    settings = settings_of(database, task(hold, name="hold"), task(bool, name="other"), max_jobs=2)
    jobs = SQLiteJob("default", settings)
    with Worker("default", settings).running_in_background():
        held = jobs.enqueue("hold")
        assert inside.wait(DEADLINE)
        assert jobs.enqueue("other").result(DEADLINE) is False
        assert held.status() is JobStatus.RUNNING
        go_on.set()
        held.result(DEADLINE)

    assert effects(database) == [1]


def test_the_session_of_a_job_that_has_ended_writes_nothing_more(database):
    kept = []

    def work():
        with current_job().transaction() as session:
            write(session)
            kept.append(session.connection().connection.driver_connection)

    run_one(database, work)

    with pytest.raises(psycopg.OperationalError):
        kept[0].execute("INSERT INTO effects VALUES (2)")
    assert effects(database) == [1]
