"""with_options(session=...) with asyncio on PostgreSQL: AsyncSession and AsyncConnection, of psycopg and of asyncpg."""

from __future__ import annotations

import asyncio

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from sqlite_job import (
    DatabaseBusyError,
    InvalidOptionError,
    JobNotFoundError,
    OtherDatabaseError,
    SQLiteJob,
    TransactionStateError,
    call,
)
from tests.doors.making import connect_to_server, count_jobs

pytest.importorskip("greenlet", reason="needs greenlet, which the extra dev installs on the default Python")

from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine

drivers = pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])


@pytest.fixture
def database(postgres_url):
    yield postgres_url
    SQLiteJob(database=postgres_url).close()


@pytest.fixture
def jobs(database):
    made = SQLiteJob(database=database)
    made.counts()
    return made


def run(database, driver, act, **options):
    """Run a coroutine function with an asynchronous engine on the database, and dispose of the engine."""
    pytest.importorskip(driver, reason="needs asyncpg, which the extra dev installs on the default Python")

    async def main():
        engine = create_async_engine(database.replace("+psycopg", f"+{driver}"), **options)
        try:
            return await act(engine)
        finally:
            await engine.dispose()

    return asyncio.run(main())


@drivers
@pytest.mark.parametrize("kind", ["session", "scoped", "connection"])
def test_an_asynchronous_transaction_takes_the_job_along(jobs, database, driver, kind):
    async def act(engine):
        if kind == "connection":
            session = engine.connect()
            await session.start()
        elif kind == "scoped":
            session = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
        else:
            session = AsyncSession(engine)
        await session.execute(text("SELECT 1"))
        gone = await jobs.with_options(session=session).aenqueue("add", 1, 2)
        await session.rollback()
        mine = jobs.with_options(session=session, job_id="mine", tags=["t"], unique=True, meta={"a": "\0"})
        kept = await mine.aenqueue("add", 3, 4)
        again = await mine.aenqueue("add", 5, 6)
        before = count_jobs(database)
        await session.commit()
        await session.close()
        return gone, kept, again, before

    gone, kept, again, before = run(database, driver, act)

    assert before == 0
    assert kept.info().arguments == again.info().arguments == "3, 4"
    with pytest.raises(JobNotFoundError):
        gone.info()


@drivers
def test_many_jobs_go_through_run_sync(jobs, database, driver):
    async def act(engine):
        async with AsyncSession(engine) as session, session.begin():
            calls = [call("add", n) for n in range(45)]
            return await session.run_sync(lambda inside: jobs.with_options(session=inside).enqueue_many(calls))

    made = run(database, driver, act)

    assert [job.info().arguments for job in made] == [str(n) for n in range(45)]


@drivers
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_strict_transaction_that_cannot_see_anothers_job_is_to_be_run_again(jobs, database, driver, level):
    async def act(engine):
        async with AsyncSession(engine) as session:
            await session.execute(text("SELECT count(*) FROM sqlitejob_job"))
            jobs.with_options(job_id="mine").enqueue("add", 1)
            mine = jobs.with_options(session=session, job_id="mine")
            with pytest.raises(DatabaseBusyError, match="run it again"):
                await mine.aenqueue("add", 2)
            await session.rollback()
            await mine.aenqueue("add", 2)
            await session.commit()

    run(database, driver, act, isolation_level=level)
    assert [job.arguments for job in jobs.list_jobs()] == ["1"]


@drivers
def test_a_transaction_that_has_failed_is_told_as_such(jobs, database, driver):
    async def act(engine):
        async with AsyncSession(engine) as session:
            with pytest.raises(Exception, match="division"):
                await session.execute(text("SELECT 1/0"))
            with pytest.raises(TransactionStateError, match="has failed already"):
                await jobs.with_options(session=session).aenqueue("add", 1)

    run(database, driver, act)


@drivers
def test_an_engine_that_commits_each_statement_is_refused(jobs, database, driver):
    async def act(engine):
        async with AsyncSession(engine) as session:
            with pytest.raises(TransactionStateError, match="AUTOCOMMIT"):
                await jobs.with_options(session=session).aenqueue("add", 1)

    run(database, driver, act, isolation_level="AUTOCOMMIT")
    assert count_jobs(database) == 0


@drivers
def test_a_database_that_is_another_one_is_refused(jobs, empty_postgres_url, driver):
    async def act(engine):
        async with AsyncSession(engine) as session:
            with pytest.raises(OtherDatabaseError, match="no transaction spans two"):
                await jobs.with_options(session=session).aenqueue("add", 1)

    run(empty_postgres_url, driver, act)


def test_aenqueue_takes_a_session_that_is_not_asynchronous(jobs, database):
    engine = create_engine(database)

    async def act():
        with Session(engine) as session:
            await jobs.with_options(session=session).aenqueue("add", 1)
            session.commit()
        with connect_to_server(database) as connection:
            await jobs.with_options(session=connection).aenqueue("add", 2)

    asyncio.run(act())
    engine.dispose()
    assert count_jobs(database) == 2


def test_a_connection_of_psycopgs_own_that_must_be_awaited_is_refused(jobs, database):
    async def act():
        url = database.replace("+psycopg", "")
        async with await psycopg.AsyncConnection.connect(url) as connection:
            with pytest.raises(InvalidOptionError, match=r"psycopg\.Connection"):
                jobs.with_options(session=connection)

    asyncio.run(act())
