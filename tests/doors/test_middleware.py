"""Middleware: what it sees and may change at enqueue, and how it wraps the call of a job's function."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from contextvars import ContextVar

import pytest

from sqlite_job import (
    Cancel,
    InvalidNameError,
    InvalidOptionError,
    JobStatus,
    Middleware,
    NoCurrentJobError,
    Retry,
    Snooze,
    SQLiteJob,
    call,
    current_job,
    task,
)
from tests.doors.making import DEADLINE, as_kind, count_jobs, drain, kinds, run_all, settings_of


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


def echo(value=None, *, twice=False):
    return value


def change(**values):
    """Return a middleware that sets these attributes of each job."""

    def act(job):
        for name, value in values.items():
            setattr(job, name, value)

    return OnEnqueue(act)


# ---- enqueue ---------------------------------------------------------------------------------------------------------


def test_enqueue_shows_the_call_and_what_was_chosen_for_it(database):
    seen = []

    def look(job):
        seen.append((job.id, job.function, job.args, dict(job.kwargs), job.queue, job.priority, job.tags, job.meta))

    settings = settings_of(database, task(echo, priority=3), middleware=[OnEnqueue(look)])
    jobs = SQLiteJob("high", settings)
    plain = jobs.enqueue(echo, 1, twice=True)
    chosen = jobs.with_options(job_id="mine", priority=7, tags=["a"], meta={"by": "ada"}).enqueue("echo")

    assert seen == [
        (plain, "echo", (1,), {"twice": True}, "high", 3, [], {}),
        (chosen, "echo", (), {}, "high", 7, ["a"], {"by": "ada"}),
    ]
    assert chosen == "mine"


def test_enqueue_may_change_queue_priority_tags_and_meta(database):
    def act(job):
        job.queue = "urgent"
        job.priority += 1
        job.tags.append("seen")
        job.meta["trace"] = "00-ab"

    settings = settings_of(database, echo, middleware=[OnEnqueue(act)])
    job = SQLiteJob("default", settings).with_options(priority=4, tags=["a"], meta={"by": "ada"}).enqueue(echo, 5)

    info = job.info()
    assert (info.queue, info.priority) == ("urgent", 5)
    assert info.tags == ("a", "seen")
    assert info.meta == {"by": "ada", "trace": "00-ab"}
    assert drain(settings, "urgent") == 1
    assert job.result(timeout=0) == 5


def test_a_change_holds_for_one_job_and_not_for_the_next(database):
    settings = settings_of(database, echo, middleware=[OnEnqueue(lambda job: job.meta.update({str(job.args[0]): 1}))])
    jobs = SQLiteJob("default", settings).with_options(meta={"by": "ada"})
    first, second = jobs.enqueue(echo, 1), jobs.enqueue(echo, 2)

    assert (first.info().meta, second.info().meta) == ({"by": "ada", "1": 1}, {"by": "ada", "2": 1})


def test_what_is_not_changed_stays_as_it_was_chosen(database):
    plain, wrapped = (
        SQLiteJob("default", settings_of(database, echo, middleware=middleware)).with_options(
            priority=2, tags=["ü"], meta={"a": [1, None]}, delay=3600, max_tries=4
        )
        for middleware in ((), [OnEnqueue(lambda job: None)])
    )
    before, after = plain.enqueue(echo, 1).info(), wrapped.enqueue(echo, 1).info()

    def facts(info):
        return info.queue, info.priority, info.tags, info.meta, info.max_tries, info.status, info.arguments

    assert facts(before) == facts(after)


def test_the_first_one_listed_is_asked_first_and_the_next_sees_what_it_changed(database):
    seen = []
    middleware = [change(queue="a"), OnEnqueue(lambda job: seen.append(job.queue)), change(queue="b")]
    job = SQLiteJob("default", settings_of(database, echo, middleware=middleware)).enqueue(echo)

    assert (seen, job.info().queue) == (["a"], "b")


def test_enqueue_that_raises_refuses_the_job_and_nothing_is_written(database):
    class RefusedError(Exception):
        pass

    def refuse(job):
        if job.args == (2,):
            raise RefusedError(job.function)

    settings = settings_of(database, echo, middleware=[OnEnqueue(refuse)])
    jobs = SQLiteJob("default", settings)
    jobs.enqueue(echo, 1)

    with pytest.raises(RefusedError, match="echo"):
        jobs.enqueue(echo, 2)
    with pytest.raises(RefusedError):
        jobs.enqueue_many([call(echo, 1), call(echo, 2), call(echo, 3)])
    with pytest.raises(RefusedError):
        asyncio.run(jobs.aenqueue(echo, 2))
    assert count_jobs(database) == 1


def test_every_way_to_enqueue_goes_through_it(database):
    settings = settings_of(database, echo, middleware=[OnEnqueue(lambda job: job.meta.update(of=list(job.args)))])
    jobs = SQLiteJob("default", settings)
    handles = [jobs.enqueue(echo, 1), *jobs.enqueue_many([call(echo, 2), call("echo", 3)])]
    handles.append(asyncio.run(jobs.aenqueue(echo, 4)))

    assert [job.info().meta for job in handles] == [{"of": [number]} for number in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("changes", "error", "mend"),
    [
        ({"queue": ""}, InvalidNameError, "A queue name must not be empty"),
        ({"queue": 5}, InvalidNameError, "A queue name must be text, not int"),
        ({"priority": "high"}, InvalidOptionError, "priority is a whole number .* not 'high'"),
        ({"priority": None}, InvalidOptionError, "priority is a whole number .* not None"),
        ({"tags": "a"}, InvalidOptionError, "tags is a list of tags, not one text"),
        ({"tags": [1]}, InvalidNameError, "A tag must be text, not int"),
        ({"meta": {"at": object()}}, InvalidOptionError, "meta takes values of JSON only"),
        ({"meta": None}, InvalidOptionError, "meta is a dict, not None"),
    ],
)
def test_a_change_that_cannot_be_is_refused_as_that_of_with_options(database, changes, error, mend):
    jobs = SQLiteJob("default", settings_of(database, echo, middleware=[change(**changes)]))

    with pytest.raises(error, match=mend):
        jobs.enqueue(echo)
    assert not database.exists()


@pytest.mark.parametrize("name", ["id", "function", "args", "kwargs", "delay"])
def test_what_cannot_be_changed_says_so(database, name):
    jobs = SQLiteJob("default", settings_of(database, echo, middleware=[change(**{name: None})]))

    with pytest.raises(AttributeError):
        jobs.enqueue(echo)


def test_keyword_arguments_are_only_shown(database):
    def act(job):
        job.kwargs["twice"] = True

    jobs = SQLiteJob("default", settings_of(database, echo, middleware=[OnEnqueue(act)]))

    with pytest.raises(TypeError, match="does not support item assignment"):
        jobs.enqueue(echo)


def test_a_producer_without_settings_takes_middleware_of_its_own(database):
    jobs = SQLiteJob("default", database=database, middleware=[change(meta={"by": "ada"})])

    assert jobs.enqueue("echo").info().meta == {"by": "ada"}
    assert jobs.with_options(priority=1).enqueue("echo").info().meta == {"by": "ada"}


def test_middleware_of_a_producer_is_checked_and_not_mixed_with_settings(database):
    with pytest.raises(InvalidOptionError, match=r"middleware has the class Around; give an instance: Around\(\)"):
        SQLiteJob(database=database, middleware=[Around])
    with pytest.raises(InvalidOptionError, match="give settings or database, not both"):
        SQLiteJob("default", settings_of(database, echo), middleware=[Around()])


# ---- run -------------------------------------------------------------------------------------------------------------


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
