"""current_job().transaction(): what a job writes in it is there if and only if the job has completed."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from contextlib import closing

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from sqlite_job import (
    Backoff,
    Cancel,
    JobStatus,
    ResultTimeoutError,
    Retry,
    Snooze,
    SQLiteJob,
    Worker,
    current_job,
    task,
)
from sqlite_job.core.events import JobsSettled, OutcomesStale
from sqlite_job.core.outcomes import Committed
from tests.doors.making import (
    DEADLINE,
    count_jobs,
    drain,
    execute,
    is_on_server,
    kinds,
    run_all,
    settings_of,
    wait_until,
)

one_writer = pytest.mark.files("one transaction at a time has the lock of a file")

effects = Table("effects", MetaData(), Column("n", Integer))


class Base(DeclarativeBase):
    pass


class Effect(Base):
    __tablename__ = "effects_of_orm"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture(autouse=True)
def _table(jobs, database):
    jobs.counts()
    execute(database, "CREATE TABLE effects (n INTEGER)")
    execute(database, f"CREATE TABLE effects_of_orm (id {serial_of(database)} PRIMARY KEY)")


def serial_of(database):
    return "SERIAL" if is_on_server(database) else "INTEGER"


def count(database, table="effects"):
    return execute(database, f"SELECT count(*) FROM {table}")[0][0]


def work_in(kind, inside, after=lambda: "done", **options):
    """Return a task that calls `inside` in its transaction, and `after` behind it."""

    def plain():
        with current_job().transaction() as session:
            inside(session)
        return after()

    async def coroutine():
        async with current_job().transaction() as session:
            inside(session)
        return after()

    return task(plain if kind == "plain" else coroutine, name="work", **options)


def write(session):
    session.execute(insert(effects).values(n=1))


def fail(*_):
    raise ValueError("no")


def run_one(database, function, **knobs):
    """Run one job of that function, and return what is known of it, its handle, and the events."""
    settings = settings_of(database, function, **knobs)
    job = SQLiteJob("default", settings).enqueue("work")
    worker, events = Worker("default", settings), []
    worker.subscribe(events.append)
    worker.run(burst=True)
    return job.info(), job, events


# ---- exactly once


@kinds
def test_rows_completion_and_result_are_there_together(database, kind):
    info, job, events = run_one(database, work_in(kind, write))

    assert (info.status, info.tries, job.result(timeout=0)) == (JobStatus.COMPLETED, 1, "done")
    assert info.started_at <= info.finished_at
    assert count(database) == 1
    (settled,) = (event.settled for event in events if isinstance(event, JobsSettled))
    assert [type(outcome) for _, outcome in settled] == [Committed]


@kinds
def test_nothing_is_there_before_the_function_has_returned(database, kind):
    seen = []
    run_one(database, work_in(kind, write, lambda: seen.append(count(database))))

    assert (seen, count(database)) == ([0], 1)


def test_objects_of_the_orm_are_written_and_can_be_returned(database):
    def work():
        with current_job().transaction() as session:
            effect = Effect()
            session.add(effect)
        return effect.id

    info, job, _ = run_one(database, work)

    assert (info.status, job.result(timeout=0), count(database, "effects_of_orm")) == (JobStatus.COMPLETED, 1, 1)


@kinds
@pytest.mark.parametrize("place", ["inside", "behind"])
def test_an_exception_inside_or_behind_the_block_rolls_back_and_fails_the_try(database, kind, place):
    steps = [write, fail] if place == "inside" else [write]
    function = work_in(kind, lambda session: [step(session) for step in steps], fail)
    info, *_ = run_one(database, function)

    assert (info.status, info.error, count(database)) == (JobStatus.FAILED, "ValueError: no", 0)


@kinds
def test_a_later_try_writes_what_the_failed_one_did_not(database, kind):
    def after():
        if current_job().tries < 3:
            raise ValueError("not yet")

    function = work_in(kind, write, after, max_tries=3, backoff=Backoff(first=0))
    settings = settings_of(database, function)
    job = SQLiteJob("default", settings).enqueue("work")
    (info,) = run_all(settings, job)

    assert (info.status, info.tries, count(database)) == (JobStatus.COMPLETED, 3, 1)


@kinds
@pytest.mark.parametrize(
    ("error", "status"),
    [(Cancel("no"), JobStatus.CANCELLED), (Snooze(60), JobStatus.SCHEDULED), (Retry(delay=60), JobStatus.FAILED)],
    ids=["cancel", "snooze", "retry"],
)
def test_a_job_that_does_not_complete_writes_nothing(database, kind, error, status):
    def after():
        raise error

    info, *_ = run_one(database, work_in(kind, write, after))

    assert (info.status, count(database)) == (status, 0)


def test_a_result_that_cannot_be_encoded_rolls_back(database):
    info, *_ = run_one(database, work_in("plain", write, threading.Lock))

    assert info.status is JobStatus.FAILED
    assert "EncodeError" in info.error
    assert count(database) == 0


def test_rows_that_break_a_constraint_at_the_commit_fail_the_try(database):
    def inside(session):
        session.execute(
            text("CREATE TABLE child (n INTEGER REFERENCES effects_of_orm (id) DEFERRABLE INITIALLY DEFERRED)")
        )
        session.execute(text("INSERT INTO child VALUES (5)"))

    info, *_ = run_one(database, work_in("plain", inside))

    assert info.status is JobStatus.FAILED
    assert "foreign key" in info.error.lower()


def test_a_block_left_by_an_exception_that_is_caught_leaves_the_completion_to_the_worker(database):
    def work():
        try:
            with current_job().transaction() as session:
                write(session)
                fail()
        except ValueError:
            return "went on"

    info, job, _ = run_one(database, work)

    assert (info.status, job.result(timeout=0), count(database)) == (JobStatus.COMPLETED, "went on", 0)


@kinds
def test_a_job_that_was_taken_from_its_worker_writes_nothing(database, kind):
    """As when it was frozen for longer than its lease: before the block, since inside of it nobody else can write."""
    taken = []

    def rescue():
        if not taken:
            taken.append(execute(database, "UPDATE sqlitejob_job SET claim_number = claim_number + 1"))

    def plain():
        rescue()
        with current_job().transaction() as session:
            write(session)

    async def coroutine():
        rescue()
        async with current_job().transaction() as session:
            write(session)

    function = task(plain if kind == "plain" else coroutine, name="work")
    info, _, events = run_one(database, function)

    assert (info.status, count(database)) == (JobStatus.RUNNING, 0)
    (stale,) = (event for event in events if isinstance(event, OutcomesStale))
    assert [type(outcome).__name__ for outcome in stale.outcomes] == ["Completed"]


def test_many_jobs_at_once_each_write_once(database):
    settings = settings_of(database, task(_plain, name="plain"), task(_coroutine, name="coroutine"), max_jobs=8)
    jobs = SQLiteJob("default", settings)
    made = [jobs.enqueue(name) for _ in range(25) for name in ("plain", "coroutine")]
    infos = run_all(settings, *made)

    assert [info.status for info in infos if info.status is not JobStatus.COMPLETED] == []
    assert count(database) == 50


def _plain():
    with current_job().transaction() as session:
        write(session)


async def _coroutine():
    async with current_job().transaction() as session:
        write(session)


# ---- one in each try, and only in it


def test_a_second_transaction_in_a_try_is_refused(database):
    def after():
        current_job().transaction()

    info, *_ = run_one(database, work_in("plain", write, after))

    assert "one in each try" in info.error
    assert count(database) == 0


def test_entering_a_block_twice_is_refused(database):
    def work():
        block = current_job().transaction()
        with block as session:
            write(session)
        with block:
            pass

    info, *_ = run_one(database, work)

    assert "entered before" in info.error
    assert count(database) == 0


def test_when_the_try_has_ended_there_is_no_transaction_any_more(database):
    kept = []
    run_one(database, task(lambda: kept.append(current_job()), name="work"))

    with pytest.raises(RuntimeError, match="has ended"):
        kept[0].transaction()


def test_a_coroutine_that_would_block_its_loop_is_told_to_await(database):
    async def work():
        with current_job().transaction():
            pass

    info, *_ = run_one(database, work)

    assert "async with" in info.error


def test_a_block_that_was_never_left_is_rolled_back(database):
    def work():
        write(current_job().transaction().__enter__())

    info, *_ = run_one(database, work)

    assert "leave the block" in info.error
    assert count(database) == 0


# ---- others


def test_jobs_are_enqueued_in_it_with_its_session(database):
    def enqueue(session):
        SQLiteJob(database=database).with_options(session=session).enqueue("next")

    settings = settings_of(database, work_in("plain", enqueue), task(bool, name="next"))
    SQLiteJob("default", settings).enqueue("work")
    assert drain(settings) == 2


@one_writer
def test_an_enqueue_that_would_wait_for_its_own_job_is_refused_at_once(database):
    began = time.monotonic()
    info, *_ = run_one(database, work_in("plain", lambda _session: SQLiteJob(database=database).enqueue("work")))

    assert "with_options(session=session)" in info.error
    assert count_jobs(database) == 1
    assert time.monotonic() - began < 10


@one_writer
def test_awaiting_an_enqueue_that_would_wait_for_its_own_job_is_refused_too(database):
    async def work():
        async with current_job().transaction():
            await SQLiteJob(database=database).aenqueue("work")

    info, *_ = run_one(database, work)

    assert "with_options(session=session)" in info.error


class OnTheLoop:
    """An asyncio.Event made where it is first used: until Python 3.10 it belongs to the loop that is there."""

    def __getattr__(self, name):
        if name == "event":
            self.event = asyncio.Event()
            return self.event
        return getattr(self.event, name)


def test_other_coroutines_of_the_loop_may_await_an_enqueue_meanwhile(database):
    inside, enqueuing = OnTheLoop(), OnTheLoop()

    async def hold():
        async with current_job().transaction() as session:
            inside.set()
            await enqueuing.wait()
            write(session)

    async def enqueue():
        await inside.wait()
        waiting = asyncio.ensure_future(SQLiteJob(database=database).aenqueue("hold"))
        await asyncio.sleep(0)
        enqueuing.set()
        await waiting

    settings = settings_of(database, hold, enqueue)
    jobs = SQLiteJob("default", settings)
    infos = run_all(settings, *[jobs.enqueue(name) for name in ("hold", "enqueue")])

    assert [info.error for info in infos] == [None, None]


def test_the_lock_is_free_again_at_on_job_end(database):
    def at_end(_context):
        execute(database, "INSERT INTO effects VALUES (2)")

    info, *_ = run_one(database, work_in("plain", write), on_job_end=staticmethod(at_end))

    assert (info.status, count(database)) == (JobStatus.COMPLETED, 2)


@one_writer
def test_a_lock_that_is_not_free_is_waited_for(database):
    started, go_on = threading.Event(), threading.Event()

    def work():
        started.set()
        go_on.wait(DEADLINE)
        with current_job().transaction() as session:
            write(session)

    settings = settings_of(database, work)
    jobs = SQLiteJob("default", settings)
    other = sqlite3.connect(database, isolation_level=None)
    with closing(other), Worker("default", settings).running_in_background():
        job = jobs.enqueue(work)
        assert started.wait(DEADLINE)
        other.execute("BEGIN IMMEDIATE")
        go_on.set()
        with pytest.raises(ResultTimeoutError):
            job.result(timeout=0.3)
        other.execute("COMMIT")
        job.result(DEADLINE)

    assert count(database) == 1


# ---- stopping


@kinds
def test_a_timeout_rolls_back_and_frees_the_lock(database, kind):
    def inside(session):
        write(session)
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
        session.execute(text(endless)).fetchall()

    def plain():
        with current_job().transaction() as session:
            inside(session)

    async def coroutine():
        async with current_job().transaction() as session:
            write(session)
            await asyncio.sleep(60)

    function = task(plain if kind == "plain" else coroutine, name="work", timeout=0.3)
    info, *_ = run_one(database, function)

    assert info.status is JobStatus.FAILED
    assert "JobTimeoutError" in info.error
    assert count(database) == 0


def test_a_job_that_cannot_be_interrupted_gives_the_lock_back_at_once(database):
    inside, release = threading.Event(), threading.Event()

    def work():
        with current_job().transaction() as session:
            write(session)
            inside.set()
            release.wait(DEADLINE)  # a call into C: nothing can be raised in it
            write(session)

    settings = settings_of(database, task(work, timeout=0.3))
    jobs = SQLiteJob("default", settings)
    job = jobs.enqueue(work)
    with Worker("default", settings).running_in_background():
        assert inside.wait(DEADLINE)
        began = time.monotonic()
        execute(database, "INSERT INTO effects VALUES (2)")
        assert time.monotonic() - began < 2
        wait_until(lambda: job.status() is JobStatus.FAILED)
        release.set()

    assert execute(database, "SELECT n FROM effects") == [(2,)]


def test_a_cancelled_job_is_rolled_back(database):
    """The wish comes before the block: inside of it nobody can write it down."""
    started, go_on = threading.Event(), threading.Event()

    def work():
        started.set()
        go_on.wait(DEADLINE)
        with current_job().transaction() as session:
            write(session)
            while True:
                time.sleep(0.01)

    settings = settings_of(database, work)
    jobs = SQLiteJob("default", settings)
    job = jobs.enqueue(work)
    with Worker("default", settings).running_in_background():
        assert started.wait(DEADLINE)
        job.cancel("enough")
        go_on.set()
        wait_until(lambda: job.status() is JobStatus.CANCELLED)

    assert count(database) == 0


def test_the_end_of_the_worker_rolls_back_and_returns_the_job(database):
    inside = threading.Event()

    def work():
        with current_job().transaction() as session:
            write(session)
            inside.set()
            while True:
                time.sleep(0.01)

    settings = settings_of(database, work, shutdown_timeout=0.1)
    job = SQLiteJob("default", settings).enqueue(work)
    with Worker("default", settings).running_in_background():
        assert inside.wait(DEADLINE)

    assert (job.status(), job.info().tries, count(database)) == (JobStatus.PENDING, 0, 0)


def test_a_committed_job_is_logged_as_any_other(database, caplog):
    with caplog.at_level(logging.INFO, "sqlite_job"):
        _, job, _ = run_one(database, work_in("plain", write))

    assert [record.getMessage() for record in caplog.records if f"Completed work {job.id} in" in record.getMessage()]
