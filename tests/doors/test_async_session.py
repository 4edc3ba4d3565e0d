"""with_options(session=...) with asyncio: AsyncSession and AsyncConnection, and sessions that are not asynchronous."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session

from sqlite_job import DatabaseBusyError, InvalidOptionError, JobNotFoundError, OtherDatabaseError, call
from tests.doors.making import count_jobs

pytest.importorskip("aiosqlite", reason="needs aiosqlite, which the extra dev installs on the default Python")
pytest.importorskip("greenlet", reason="needs greenlet, which the extra dev installs on the default Python")

from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)

pytestmark = pytest.mark.files("tests/postgres/test_async_session.py has the sessions of PostgreSQL")


def run(database, act, mode="default", **arguments):
    """Run a coroutine function with an asynchronous engine on the database, and dispose of the engine."""

    async def main():
        engine = create_async_engine(f"sqlite+aiosqlite:///{database}", connect_args=arguments)
        if mode == "immediate":
            event.listen(engine.sync_engine, "connect", _leave_it_to_us)
            event.listen(engine.sync_engine, "begin", _begin)
        try:
            return await act(engine)
        finally:
            await engine.dispose()

    return asyncio.run(main())


def _leave_it_to_us(connection, _record):
    connection.isolation_level = None


def _begin(connection):
    connection.exec_driver_sql("BEGIN IMMEDIATE")


modes = pytest.mark.parametrize("mode", ["default", "immediate"])


@modes
@pytest.mark.parametrize("kind", ["session", "scoped", "connection"])
def test_an_asynchronous_transaction_takes_the_job_along(jobs, database, mode, kind):
    jobs.counts()

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
        kept = await jobs.with_options(session=session, job_id="mine").aenqueue("add", 3, 4)
        again = await jobs.with_options(session=session, job_id="mine").aenqueue("add", 5, 6)
        before = count_jobs(database)
        await session.commit()
        await session.close()
        return gone, kept, again, before

    gone, kept, again, before = run(database, act, mode)

    assert before == 0
    assert kept.info().arguments == again.info().arguments == "3, 4"
    with pytest.raises(JobNotFoundError):
        gone.info()


def test_many_jobs_go_through_run_sync(jobs, database):
    async def act(engine):
        async with AsyncSession(engine) as session, session.begin():
            calls = [call("add", n) for n in range(45)]
            return await session.run_sync(lambda inside: jobs.with_options(session=inside).enqueue_many(calls))

    made = run(database, act)

    assert [job.info().arguments for job in made] == [str(n) for n in range(45)]


def test_enqueue_with_an_asynchronous_session_says_what_to_write(jobs, database):
    async def act(engine):
        async with AsyncSession(engine) as session:
            with pytest.raises(InvalidOptionError, match=r"await .*aenqueue"):
                jobs.with_options(session=session).enqueue("add", 1)
            with pytest.raises(InvalidOptionError, match="run_sync"):
                jobs.with_options(session=session).enqueue_many([call("add", 1)])

    run(database, act)
    assert count_jobs(database) == 0


def test_aenqueue_takes_a_session_that_is_not_asynchronous(jobs, database):
    engine = create_engine(f"sqlite:///{database}")

    async def act():
        with Session(engine) as session:
            await jobs.with_options(session=session).aenqueue("add", 1)
            session.rollback()
            await jobs.with_options(session=session).aenqueue("add", 2)
            session.commit()
        with closing(sqlite3.connect(database)) as connection:
            await jobs.with_options(session=connection).aenqueue("add", 3)
            connection.commit()

    asyncio.run(act())
    engine.dispose()
    assert count_jobs(database) == 2


def test_another_database_is_refused(jobs, tmp_path):
    async def act(engine):
        async with AsyncSession(engine) as session:
            with pytest.raises(OtherDatabaseError, match=r"other\.db"):
                await jobs.with_options(session=session).aenqueue("add", 1)

    run(tmp_path / "other.db", act)


@modes
def test_a_lock_of_another_is_an_error_that_explains(jobs, database, mode):
    jobs.counts()

    async def act(engine):
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with AsyncSession(engine) as session:
                with pytest.raises(DatabaseBusyError, match="longer than your connection's timeout"):
                    await jobs.with_options(session=session).aenqueue("add", 1)

    run(database, act, mode, timeout=0.05)
