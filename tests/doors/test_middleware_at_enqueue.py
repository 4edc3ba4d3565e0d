"""Middleware at enqueue: what it sees, what it may change, and that it can refuse."""

from __future__ import annotations

import asyncio

import pytest

from sqlite_job import (
    InvalidNameError,
    InvalidOptionError,
    Middleware,
    SQLiteJob,
    call,
    task,
)
from tests.doors.making import count_jobs, drain, is_opened, settings_of


class OnEnqueue(Middleware):
    """Does one thing with each job that is enqueued."""

    def __init__(self, act):
        self.act = act

    def enqueue(self, job):
        self.act(job)


def echo(value=None, *, twice=False):
    return value


def change(**values):
    """Return a middleware that sets these attributes of each job."""

    def act(job):
        for name, value in values.items():
            setattr(job, name, value)

    return OnEnqueue(act)


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
    assert not is_opened(database)


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
    with pytest.raises(InvalidOptionError, match=r"the class OnEnqueue; give an instance: OnEnqueue\(\)"):
        SQLiteJob(database=database, middleware=[OnEnqueue])
    with pytest.raises(InvalidOptionError, match="give settings or database, not both"):
        SQLiteJob("default", settings_of(database, echo), middleware=[change(priority=1)])
