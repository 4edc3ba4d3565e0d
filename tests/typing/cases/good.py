"""Right uses of the public API: the type checkers must accept every line, and infer exactly these types."""

# pyright: strict

from __future__ import annotations

import sqlite3
from typing import Any, Sequence

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session, scoped_session
from typing_extensions import assert_type

from sqlite_job import Job, SQLiteJob, WorkerSettings, call, current_job, task

jobs = SQLiteJob("default")


def add_numbers(a: int, b: int = 0) -> int:
    return a + b


async def fetch(url: str, *, retries: int = 3) -> bytes:
    return url.encode() * retries


@task(name="x")
def join_words(*words: str, by: str = " ") -> str:
    return by.join(words)


@task(max_tries=3)
async def measure(word: str) -> float:
    return float(len(word))


add_with_options = task(add_numbers, max_tries=3)
fetch_with_options = task(fetch, name="fetch_page")


class Settings(WorkerSettings):
    functions = [add_numbers, fetch, join_words, measure, task(add_numbers, name="add_again", max_tries=3)]


def enqueue_a_function() -> None:
    assert_type(jobs.enqueue(add_numbers, 1, 2), Job[int])
    assert_type(jobs.enqueue(add_numbers, 1), Job[int])
    assert_type(jobs.enqueue(add_numbers, a=1, b=2), Job[int])


def enqueue_a_coroutine_function() -> None:
    assert_type(jobs.enqueue(fetch, "here", retries=1), Job[bytes])
    assert_type(jobs.enqueue(measure, "word"), Job[float])


def enqueue_by_name() -> None:
    assert_type(jobs.enqueue("add_numbers", 1), Job[Any])
    assert_type(jobs.enqueue("add_numbers", "anything", at="all"), Job[Any])


def enqueue_a_task() -> None:
    assert_type(add_with_options(1, 2), int)
    assert_type(jobs.enqueue(add_with_options, 1, b=2), Job[int])
    assert_type(jobs.enqueue(fetch_with_options, "here"), Job[bytes])
    assert_type(join_words("a", "b", by="-"), str)
    assert_type(jobs.enqueue(join_words, "a", "b", by="-"), Job[str])


def enqueue_with_options() -> None:
    assert_type(jobs.with_options(priority=5), SQLiteJob)
    assert_type(jobs.with_options(priority=5, queue="high").enqueue(add_numbers, 1, 2), Job[int])


def enqueue_in_a_transaction(
    session: Session, connection: Connection, scoped: scoped_session[Session], driver: sqlite3.Connection
) -> None:
    assert_type(jobs.with_options(session=session).enqueue(add_numbers, 1, 2), Job[int])
    jobs.with_options(session=connection)
    jobs.with_options(session=scoped)
    jobs.with_options(session=driver)


async def enqueue_in_an_asynchronous_transaction(session: AsyncSession, connection: AsyncConnection) -> None:
    assert_type(await jobs.with_options(session=session).aenqueue(add_numbers, 1, 2), Job[int])
    jobs.with_options(session=connection)


def write_in_the_transaction_of_a_job() -> None:
    with current_job().transaction() as session:
        session.execute("anything")


async def write_in_the_transaction_of_a_coroutine() -> None:
    async with current_job().transaction() as session:
        session.execute("anything")


def enqueue_many() -> None:
    assert_type(jobs.enqueue_many([call(add_numbers, 1, 2), call(add_with_options, 3)])[0], Job[int])
    assert_type(jobs.enqueue_many([call(fetch, "here", retries=1)])[0], Job[bytes])
    assert_type(jobs.enqueue_many([call("add_numbers", 1)])[0], Job[Any])
    assert_type(jobs.enqueue_many(call(add_numbers, number) for number in range(3))[0], Job[int])
    results_of_two_types: Sequence[str] = jobs.enqueue_many([call(add_numbers, 1, 2), call(fetch, "there")])
    print(results_of_two_types)


def take_a_result() -> None:
    job = jobs.enqueue(add_numbers, 1, 2)
    assert_type(job.result(), int)
    assert_type(job.result(timeout=5), int)
    job_id: str = job
    assert_type(job_id.upper(), str)


async def wait_in_a_coroutine() -> None:
    job = await jobs.aenqueue(add_numbers, 1, 2)
    assert_type(job, Job[int])
    assert_type(await job.aresult(), int)
    assert_type(await jobs.aenqueue(fetch, "here"), Job[bytes])
    assert_type(await jobs.aenqueue("fetch", "here"), Job[Any])
    assert_type(await measure("word"), float)


def look_from_inside_a_job() -> None:
    assert_type(current_job().id, str)
    assert_type(current_job().queue, str)
    assert_type(current_job().function, str)
    assert_type(current_job().tries, int)
