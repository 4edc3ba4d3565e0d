"""Hooks of a worker: their order, the state they share with the jobs, and what happens when one raises."""

from __future__ import annotations

import asyncio

import pytest

from sqlite_job import Cancel, JobStatus, NoCurrentJobError, SQLiteJob, Worker, WorkerSettings, current_job
from tests.doors.making import drain, run_all, settings_of


def echo(value=None):
    return value


async def echo_later(value=None):
    return value


def make(hook, kind):
    """Return a hook as it is, or as a coroutine function."""

    async def later(argument):
        await asyncio.sleep(0)
        return hook(argument)

    return hook if kind == "plain" else later


hook_kinds = pytest.mark.parametrize("kind", ["plain", "coroutine"])
job_kinds = pytest.mark.parametrize("function", [echo, echo_later])


@hook_kinds
@pytest.mark.parametrize("is_async", [False, True], ids=["plain job", "coroutine job"])
def test_hooks_are_called_around_all_jobs_and_around_each(database, kind, is_async):
    seen = []

    def work(name):
        seen.append(f"run {name}")

    async def work_later(name):
        seen.append(f"run {name}")

    work_later.__name__ = "work"
    settings = settings_of(
        database,
        work_later if is_async else work,
        max_jobs=1,
        on_startup=make(lambda state: seen.append("startup"), kind),
        on_shutdown=make(lambda state: seen.append("shutdown"), kind),
        on_job_start=make(lambda job: seen.append(f"start {job.function}"), kind),
        on_job_end=make(lambda job: seen.append(f"end {job.function}"), kind),
    )
    jobs = SQLiteJob("default", settings)
    jobs.enqueue("work", 1)
    jobs.enqueue("work", 2)

    drain(settings)

    assert seen == ["startup", "start work", "run 1", "end work", "start work", "run 2", "end work", "shutdown"]


@hook_kinds
def test_startup_and_shutdown_are_called_when_there_is_nothing_to_do(database, kind):
    seen = []
    settings = settings_of(
        database,
        echo,
        on_startup=make(lambda state: seen.append("startup"), kind),
        on_shutdown=make(lambda state: seen.append("shutdown"), kind),
    )

    drain(settings)

    assert seen == ["startup", "shutdown"]


@hook_kinds
@pytest.mark.parametrize("is_async", [False, True], ids=["plain job", "coroutine job"])
def test_all_hooks_and_jobs_share_one_state_and_each_run_has_its_own(database, kind, is_async):
    def work():
        current_job().state.total += 1
        return current_job().state.total

    async def work_later():
        return work()

    work_later.__name__ = "work"
    at_end = []
    settings = settings_of(
        database,
        work_later if is_async else work,
        max_jobs=1,
        on_startup=make(lambda state: state.update(total=10), kind),
        on_job_start=make(lambda job: job.state.update(total=job.state.total + 100), kind),
        on_job_end=make(lambda job: job.state.update(total=job.state["total"] + 1000), kind),
        on_shutdown=make(lambda state: at_end.append(state.total), kind),
    )
    jobs = SQLiteJob("default", settings)

    for _ in range(2):
        job = jobs.enqueue("work")
        drain(settings)
        assert job.result(timeout=0) == 111
    assert at_end == [1111, 1111]


@hook_kinds
@job_kinds
def test_hooks_of_a_job_find_it_and_those_of_the_worker_find_none(database, kind, function):
    seen = []

    def look(argument):
        try:
            seen.append(current_job().id)
        except NoCurrentJobError:
            seen.append(None)

    hook = make(look, kind)
    settings = settings_of(database, function, on_startup=hook, on_job_start=hook, on_job_end=hook, on_shutdown=hook)
    job = SQLiteJob("default", settings).enqueue(function)

    drain(settings)

    assert seen == [None, job, job, None]


def test_methods_of_the_settings_are_hooks_too(database):
    class MyWorkerSettings(WorkerSettings):
        functions = [echo]

        def __init__(self, database):
            super().__init__(database)
            self.seen = []

        def on_startup(self, state):
            self.seen.append("startup")

        async def on_job_start(self, job):
            self.seen.append(job.function)

        @staticmethod
        def on_shutdown(state):
            state.seen = "shutdown"

    settings = MyWorkerSettings(database)
    SQLiteJob("default", settings).enqueue("echo")

    assert drain(settings) == 1
    assert settings.seen == ["startup", "echo"]


# ---- hooks that raise ------------------------------------------------------------------------------------------------


@hook_kinds
@pytest.mark.parametrize("error", [ValueError("no model"), SystemExit("no model")])
def test_on_startup_that_raises_stops_the_worker_and_no_job_is_claimed(database, kind, error):
    seen = []

    def fail(state):
        raise error

    settings = settings_of(
        database, echo, on_startup=make(fail, kind), on_shutdown=lambda state: seen.append("shutdown")
    )
    job = SQLiteJob("default", settings).enqueue("echo")

    with pytest.raises(type(error), match="no model"):
        Worker("default", settings).run(burst=True)
    assert (job.status(), job.info().tries) == (JobStatus.PENDING, 0)
    assert seen == []


@hook_kinds
def test_on_shutdown_that_raises_propagates_and_the_jobs_are_done(database, kind):
    def fail(state):
        raise ValueError("cannot say goodbye")

    settings = settings_of(database, echo, on_shutdown=make(fail, kind))
    job = SQLiteJob("default", settings).enqueue("echo", 1)

    with pytest.raises(ValueError, match="cannot say goodbye"):
        Worker("default", settings).run(burst=True)
    assert job.result(timeout=0) == 1


@hook_kinds
@job_kinds
@pytest.mark.parametrize(
    "error", [ValueError("not today"), SystemExit("not today"), asyncio.CancelledError("not today")]
)
def test_on_job_start_that_raises_fails_the_job_before_it_has_run(database, kind, function, error):
    ran, ended = [], []

    def fail(job):
        if job.meta:
            raise error

    settings = settings_of(
        database,
        function,
        on_job_start=make(fail, kind),
        on_job_end=lambda job: ended.append(job.id),
    )
    jobs = SQLiteJob("default", settings)
    failing = jobs.with_options(meta={"fails": True}).enqueue(function, ran)
    other = jobs.enqueue(function, 1)

    failed, completed = run_all(settings, failing, other)

    assert failed.status is JobStatus.FAILED
    # Over from the event loop to a thread, a cancellation comes without its message.
    assert ("Cancelled" if isinstance(error, asyncio.CancelledError) else "not today") in failed.error
    assert completed.status is JobStatus.COMPLETED
    assert sorted(ended) == sorted([failing, other])


@hook_kinds
@job_kinds
def test_on_job_start_may_cancel_a_job(database, kind, function):
    def cancel(job):
        raise Cancel("not on Sundays")

    settings = settings_of(database, function, on_job_start=make(cancel, kind))
    job = SQLiteJob("default", settings).enqueue(function)

    (info,) = run_all(settings, job)

    assert (info.status, info.error) == (JobStatus.CANCELLED, "not on Sundays")


@hook_kinds
@job_kinds
def test_on_job_start_that_raises_is_tried_again_as_the_job_would_be(database, kind, function):
    tries = []

    def fail_once(job):
        tries.append(job.tries)
        if len(tries) == 1:
            raise ValueError("not yet")

    settings = settings_of(database, function, on_job_start=make(fail_once, kind))
    job = SQLiteJob("default", settings).with_options(max_tries=2).enqueue(function, 5)

    (info,) = run_all(settings, job)

    assert (info.status, tries) == (JobStatus.COMPLETED, [1, 2])


@hook_kinds
@job_kinds
@pytest.mark.parametrize(
    "error", [ValueError("no log"), SystemExit("no log"), KeyboardInterrupt("no log"), asyncio.CancelledError("no log")]
)
def test_on_job_end_that_raises_is_logged_and_changes_nothing(database, kind, function, error, caplog):
    def fail(job):
        raise error

    settings = settings_of(database, function, on_job_end=make(fail, kind), max_jobs=1)
    first, second = (SQLiteJob("default", settings).enqueue(function, value) for value in (1, 2))

    infos = run_all(settings, first, second)

    assert [info.status for info in infos] == [JobStatus.COMPLETED] * 2
    assert (first.result(timeout=0), second.result(timeout=0)) == (1, 2)
    assert "on_job_end failed for <JobContext" in caplog.text


@hook_kinds
@job_kinds
def test_on_job_end_is_called_for_a_job_that_failed(database, kind, function):
    ended = []

    def fail(value):
        raise ValueError("no")

    async def fail_later(value):
        raise ValueError("no")

    chosen = fail if function is echo else fail_later
    settings = settings_of(database, chosen, on_job_end=make(lambda job: ended.append(job.id), kind))
    job = SQLiteJob("default", settings).enqueue(chosen, 1)

    (info,) = run_all(settings, job)

    assert info.status is JobStatus.FAILED
    assert ended == [job]
