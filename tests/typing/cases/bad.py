"""Wrong uses of the public API: the type checkers must report every line marked E, and no other."""

from __future__ import annotations

from typing import Any, Callable

from sqlite_job import (
    EnqueueContext,
    JobContext,
    Middleware,
    SQLiteJob,
    Worker,
    WorkerSettings,
    call,
    current_job,
    task,
)
from sqlite_job.events import JobsClaimed, JobsSettled
from sqlite_job.testing import FakeClock, assert_enqueued, drain

jobs = SQLiteJob("default")


def add_numbers(a: int, b: int = 0) -> int:
    return a + b


async def fetch(url: str, *, retries: int = 3) -> bytes:
    return url.encode() * retries


@task(name="x")
def join_words(*words: str, by: str = " ") -> str:
    return by.join(words)


add_with_options = task(add_numbers, max_tries=3)


def wrong_arguments() -> None:
    jobs.enqueue(add_numbers, 1, "x")  # E: a str is no int
    jobs.enqueue(add_numbers)  # E: a is missing
    jobs.enqueue(add_numbers, 1, 2, 3)  # E: one too many
    jobs.enqueue(add_numbers, 1, c=2)  # E: no argument c
    jobs.enqueue(fetch, 1)  # E: an int is no str
    jobs.enqueue(fetch, "here", 3)  # E: retries is keyword-only
    jobs.with_options(priority=5).enqueue(add_numbers, 1, "x")  # E: a str is no int


def wrong_arguments_of_tasks() -> None:
    add_with_options("x")  # E: a str is no int
    jobs.enqueue(add_with_options, "x")  # E: a str is no int
    join_words(1)  # E: an int is no str
    jobs.enqueue(join_words, "a", by=1)  # E: an int is no str


def wrong_arguments_of_calls() -> None:
    call(add_numbers, 1, "x")  # E: a str is no int
    call(add_numbers)  # E: a is missing
    call(fetch, "here", retries="x")  # E: a str is no int
    jobs.enqueue_many([call(add_with_options, "x")])  # E: a str is no int


async def wrong_arguments_in_a_coroutine() -> None:
    await jobs.aenqueue(add_numbers, 1, "x")  # E: a str is no int
    await jobs.aenqueue(fetch)  # E: url is missing


def wrong_functions() -> None:
    jobs.enqueue(42)  # E: neither a function nor a name
    call(42)  # E: neither a function nor a name


def wrong_options() -> None:
    jobs.with_options(prioritty=5)  # E: misspelt
    jobs.with_options(priority="high")  # E: a str is no int
    jobs.with_options(session="jobs.db")  # E: a path is no session
    task(add_numbers, max_trys=3)  # E: misspelt
    task(add_numbers, max_tries="three")  # E: a str is no int
    task(add_numbers, keep_result="7d")  # E: a str is no duration


def wrong_results() -> None:
    text: str = jobs.enqueue(add_numbers, 1).result()  # E: an int is no str
    body: str = jobs.enqueue(fetch, "here").result()  # E: bytes are no str
    job_id: int = current_job().id  # E: a str is no int


async def wrong_results_in_a_coroutine() -> None:
    text: str = await (await jobs.aenqueue(add_numbers, 1)).aresult()  # E: an int is no str


class WrongMiddleware(Middleware):
    async def enqueue(self, job: EnqueueContext) -> None:  # E: it is not awaited
        job.args = ()  # E: only shown
        job.priority = "high"  # E: a str is no int

    def run(self, job: JobContext) -> Any:  # E: proceed is missing
        return job.kwargs  # E: a running job has none


class Enqueued(Middleware):
    def run(self, job: EnqueueContext, proceed: Callable[[], Any]) -> Any:  # E: it is given a JobContext
        return proceed()


class WrongSettings(WorkerSettings):
    middleware = [Middleware(), "around"]  # E: a str is no middleware
    subscribers = [5]  # E: an int is no function


def tell(job: JobContext) -> None: ...


def count_settled(event: JobsSettled) -> None: ...


def wrong_hooks(worker: Worker) -> None:
    task(add_numbers, on_failure=tell)  # E: it is called with the failure, too
    worker.subscribe(count_settled)  # E: it takes one kind of event only
    worker.subscribe(count_settled, JobsClaimed)  # E: another kind of event
    SQLiteJob("default", middleware=[WrongMiddleware])  # E: a class is no instance


def wrong_uses_of_the_helpers_for_tests() -> None:
    assert_enqueued(jobs, call(add_numbers, "x"))  # E: a str is no int
    assert_enqueued(jobs, add_numbers, 1)  # E: arguments belong into call()
    assert_enqueued(jobs, add_numbers, b=2)  # E: arguments belong into call()
    assert_enqueued(jobs, add_numbers, delay="soon")  # E: no time
    drain(jobs)  # E: neither settings nor a worker
    FakeClock("2030-01-01")  # E: no datetime
