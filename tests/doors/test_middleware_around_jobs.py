"""Middleware around jobs: how it wraps the call of a function, and what becomes of values and exceptions."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from contextvars import ContextVar

import pytest

from sqlite_job import (
    Cancel,
    JobStatus,
    Middleware,
    NoCurrentJobError,
    Retry,
    Snooze,
    SQLiteJob,
    current_job,
    task,
)
from tests.doors.making import DEADLINE, as_kind, drain, kinds, run_all, settings_of


class OnEnqueue(Middleware):
    """Does one thing with each job that is enqueued."""

    def __init__(self, act):
        self.act = act

    def enqueue(self, job):
        self.act(job)


class Around(Middleware):
    """Does one thing with each call, of a plain function or a coroutine function."""

    def __init__(self, before=lambda job: None, after=lambda job, value: value):
        self.before = before
        self.after = after

    def run(self, job, proceed):
        self.before(job)
        return self.after(job, proceed())

    async def run_async(self, job, proceed):
        self.before(job)
        return self.after(job, await proceed())


def echo(value=None):
    return value


@kinds
def test_run_is_called_around_the_function_where_the_job_runs(database, kind):
    seen = []
    around = Around(
        lambda job: seen.append(("before", job.id, current_job().id)),
        lambda job, value: seen.append(("after", job.id, value)) or value,
    )
    settings = settings_of(
        database,
        as_kind(lambda value: seen.append("run") or value, kind),
        middleware=[around],
        on_job_start=lambda job: seen.append("on_job_start"),
        on_job_end=lambda job: seen.append("on_job_end"),
    )
    job = SQLiteJob("default", settings).enqueue("work", 5)
    drain(settings)

    assert seen == ["on_job_start", ("before", job, job), "run", ("after", job, 5), "on_job_end"]
    assert job.result(timeout=0) == 5


@kinds
def test_the_first_one_listed_is_the_outermost(database, kind):
    seen = []

    def named(name):
        return Around(lambda job: seen.append(f"in {name}"), lambda job, value: seen.append(f"out {name}"))

    @contextmanager
    def short(job):
        seen.append("in short")
        yield
        seen.append("out short")

    settings = settings_of(database, as_kind(echo, kind), middleware=[named("a"), short, named("b")])
    SQLiteJob("default", settings).enqueue("work")
    drain(settings)

    assert seen == ["in a", "in short", "in b", "out b", "out short", "out a"]


@kinds
def test_what_run_returns_is_the_result(database, kind):
    settings = settings_of(database, as_kind(echo, kind), middleware=[Around(after=lambda job, value: value * 2)])
    job = SQLiteJob("default", settings).enqueue("work", 21)
    drain(settings)

    assert job.result(timeout=0) == 42


@kinds
@pytest.mark.parametrize(
    ("error", "status", "tries"),
    [
        (ValueError("no"), JobStatus.FAILED, 1),
        (SystemExit(3), JobStatus.FAILED, 1),
        (Cancel("no"), JobStatus.CANCELLED, 1),
        (Retry(3600), JobStatus.SCHEDULED, 1),
        (Snooze(3600), JobStatus.SCHEDULED, 0),
    ],
    ids=["exception", "exit", "cancel", "retry", "snooze"],
)
def test_what_run_raises_the_job_has_raised(database, kind, error, status, tries):
    ran = []

    def fail(job):
        raise error

    settings = settings_of(database, as_kind(ran.append, kind), middleware=[Around(fail)])
    job = (
        SQLiteJob("default", settings)
        .with_options(max_tries=2 if status is JobStatus.SCHEDULED else 1)
        .enqueue("work", 1)
    )
    drain(settings)

    assert (job.status(), job.info().tries, ran) == (status, tries, [])


@kinds
def test_run_sees_the_exception_and_it_goes_on_to_the_record(database, kind):
    seen = []

    def fail():
        raise ValueError("not today")

    class Look(Around):
        def run(self, job, proceed):
            try:
                return proceed()
            except ValueError as error:
                seen.append(str(error))
                raise

        async def run_async(self, job, proceed):
            try:
                return await proceed()
            except ValueError as error:
                seen.append(str(error))
                raise

    settings = settings_of(database, as_kind(fail, kind), middleware=[Look()])
    job = SQLiteJob("default", settings).enqueue("work")
    (info,) = run_all(settings, job)

    assert (seen, info.error) == (["not today"], "ValueError: not today")


@kinds
def test_a_context_manager_sees_the_exception_too_and_may_swallow_it(database, kind):
    @contextmanager
    def swallow(job):
        try:
            yield
        except ValueError:
            job.log.info("swallowed")

    def fail():
        raise ValueError("not today")

    settings = settings_of(database, as_kind(fail, kind), middleware=[swallow])
    job = SQLiteJob("default", settings).enqueue("work")
    (info,) = run_all(settings, job)

    assert (info.status, job.result(timeout=0)) == (JobStatus.COMPLETED, None)


@kinds
def test_context_variables_reach_the_function_and_not_the_next_job(database, kind):
    variable = ContextVar("variable", default=None)
    seen = []

    def set_it(job):
        seen.append(variable.get())
        variable.set(job.meta["n"])  # and never reset

    settings = settings_of(
        database, as_kind(lambda: seen.append(variable.get()), kind), middleware=[Around(set_it)], max_jobs=1
    )
    jobs = SQLiteJob("default", settings)
    for number in (1, 2):
        jobs.with_options(meta={"n": number}).enqueue("work")
    drain(settings)

    assert seen == [None, 1, None, 2]


@kinds
def test_run_may_proceed_again(database, kind):
    tries = []

    def flaky():
        tries.append(current_job().tries)
        if len(tries) == 1:
            raise ConnectionError

    class Again(Middleware):
        def run(self, job, proceed):
            try:
                return proceed()
            except ConnectionError:
                return proceed()

        async def run_async(self, job, proceed):
            try:
                return await proceed()
            except ConnectionError:
                return await proceed()

    settings = settings_of(database, as_kind(flaky, kind), middleware=[Again()])
    job = SQLiteJob("default", settings).enqueue("work")
    (info,) = run_all(settings, job)

    assert (info.status, tries) == (JobStatus.COMPLETED, [1, 1])


@kinds
def test_a_timeout_stops_a_job_inside_its_middleware(database, kind):
    ended, never = [], threading.Event()

    async def hang_later():
        await asyncio.sleep(DEADLINE)

    def hang():
        for _ in range(DEADLINE * 1000):
            never.wait(0.001)

    @contextmanager
    def notice(job):
        try:
            yield
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    settings = settings_of(
        database, task(hang_later if kind == "coroutine" else hang, name="work", timeout=0.1), middleware=[notice]
    )
    job = SQLiteJob("default", settings).enqueue("work")
    (info,) = run_all(settings, job)

    assert info.error.startswith("JobTimeoutError")
    assert ended == ["CancelledError" if kind == "coroutine" else "StopRequested"]


def test_a_function_that_nothing_wraps_is_called_as_it_is(database):
    from sqlite_job.wiring import _with_middleware

    settings = settings_of(database, echo, middleware=[OnEnqueue(lambda job: None)])

    assert _with_middleware(settings)["echo"].function is echo


def test_a_wrapped_function_is_still_the_users_own_outside_of_jobs(database):
    settings = settings_of(database, echo, middleware=[Around()])

    assert settings.registry.find(echo).function is echo
    assert echo(3) == 3
    with pytest.raises(NoCurrentJobError):
        current_job()
