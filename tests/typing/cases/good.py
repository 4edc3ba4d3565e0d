"""Right uses of the public API: the type checkers must accept every line, and infer exactly these types."""

# pyright: strict

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any, Awaitable, Callable, Dict, Generator, List, Mapping, Sequence, Tuple

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session, scoped_session
from typing_extensions import assert_type

from sqlite_job import (
    EnqueueContext,
    Job,
    JobContext,
    JobFailure,
    JobInfo,
    Middleware,
    SQLiteJob,
    Worker,
    WorkerSettings,
    call,
    current_job,
    task,
)
from sqlite_job.events import ClaimedJob, Event, JobsSettled, Outcome
from sqlite_job.testing import (
    Drained,
    EnqueuedJob,
    FakeClock,
    assert_enqueued,
    drain,
    enqueued,
    fake_time,
    inline,
    refute_enqueued,
)

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


class Trace(Middleware):
    def enqueue(self, job: EnqueueContext) -> None:
        assert_type(job.id, str)
        assert_type(job.args, Tuple[Any, ...])
        assert_type(job.kwargs, Mapping[str, Any])
        assert_type(job.tags, List[str])
        assert_type(job.meta, Dict[str, Any])
        job.queue, job.priority = "high", job.priority + 1

    def run(self, job: JobContext, proceed: Callable[[], Any]) -> Any:
        return proceed()

    async def run_async(self, job: JobContext, proceed: Callable[[], Awaitable[Any]]) -> Any:
        assert_type(await proceed(), Any)
        return len(job.id)


class TraceOfNumbers(Trace):
    def run(self, job: JobContext, proceed: Callable[[], Any]) -> int:
        return int(proceed())


@contextmanager
def around(job: JobContext) -> Generator[None, None, None]:
    print(job.meta)
    yield


def tell(job: JobContext, failure: JobFailure) -> None:
    print(job.id, failure.summary)


async def tell_later(job: JobContext, failure: JobFailure) -> None:
    tell(job, failure)


def count(event: Event) -> None:
    print(type(event))


def count_settled(event: JobsSettled) -> int:
    assert_type(event.settled, Sequence[Tuple[ClaimedJob, Outcome]])
    return len(event.settled)


class Hooked(WorkerSettings):
    functions = [task(add_numbers, on_failure=tell), task(fetch, on_failure=tell_later)]
    middleware = [Trace(), around]
    subscribers = [count]

    def on_failure(self, job: JobContext, failure: JobFailure) -> None:
        tell(job, failure)


def subscribe(worker: Worker) -> None:
    assert_type(worker.subscribe(count), Callable[[], None])
    worker.subscribe(count, JobsSettled)
    leave = worker.subscribe(count_settled, JobsSettled)
    leave()
    SQLiteJob("default", middleware=[Trace(), around])


def work_off_in_a_test() -> None:
    assert_type(drain(Settings()), Drained)
    assert_type(drain(Worker("default", Settings()), ["a", "b"], include_scheduled=True), Drained)
    assert_type(drain(Settings(), "default", max_jobs=10, raise_errors=True).jobs, Tuple[JobInfo, ...])
    assert_type(drain(Settings()).runs, int)


def look_at_what_was_enqueued() -> None:
    assert_type(assert_enqueued(jobs, call(add_numbers, 1, b=2), queue="default", count=1), List[EnqueuedJob])
    assert_type(enqueued("jobs.db", join_words, delay=(0, timedelta(minutes=1))), List[EnqueuedJob])
    assert_type(enqueued(Settings())[0].args, Tuple[Any, ...])
    refute_enqueued(jobs)
    refute_enqueued(jobs, "fetch", tags=["a"], delay=60)


def move_the_time() -> None:
    with fake_time() as clock, fake_time(FakeClock(datetime(2030, 1, 1, tzinfo=timezone.utc))):
        assert_type(clock, FakeClock)
        assert_type(clock.advance(timedelta(days=3)), datetime)
        assert_type(clock.advance(60), datetime)
        assert_type(clock.now(), datetime)


def run_at_once() -> None:
    with inline(Settings(), raise_errors=True) as queue:
        assert_type(queue.enqueue(add_numbers, 1), Job[int])
