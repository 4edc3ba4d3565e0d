"""with_options: a copy of the door whose jobs have these options."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from sqlite_job import InvalidNameError, InvalidOptionError, JobStatus, SQLiteJob, Worker, call, current_job, task
from tests.doors.making import drain, settings_of


def add(a, b=0):
    return a + b


def test_the_options_belong_to_the_copy_and_the_door_stays_as_it_was(jobs):
    special = jobs.with_options(priority=5, queue="fast", tags=["a"])

    with_options, without = special.enqueue("add").info(), jobs.enqueue("add").info()

    assert special is not jobs
    assert (with_options.priority, with_options.queue, with_options.tags) == (5, "fast", ("a",))
    assert (without.priority, without.queue, without.tags) == (0, "default", ())


def test_each_option_is_kept_with_the_job(jobs):
    job = jobs.with_options(
        job_id="invoice-5",
        queue="mail",
        priority=-3,
        max_tries=4,
        tags=["b", "a", "b"],
        meta={"user": {"id": 5}},
    ).enqueue("add", 1)

    info = jobs.get_job("invoice-5")
    assert job == "invoice-5"
    assert (info.queue, info.priority, info.max_tries) == ("mail", -3, 4)
    assert info.tags == ("b", "a")
    assert info.meta == {"user": {"id": 5}}


def test_options_hold_for_many_jobs_and_for_async_ones(jobs):
    made = jobs.with_options(queue="bulk", tags=["t"]).enqueue_many([call("add", n) for n in range(3)])

    assert [(job.info().queue, job.info().tags) for job in made] == [("bulk", ("t",))] * 3


@pytest.mark.parametrize("delay", [3600, 3600.0, timedelta(hours=1)])
def test_a_delayed_job_is_scheduled_that_much_later(jobs, delay):
    before = datetime.now(timezone.utc)
    info = jobs.with_options(delay=delay).enqueue("add").info()
    after = datetime.now(timezone.utc)

    assert info.status is JobStatus.SCHEDULED
    assert before <= info.run_at - timedelta(hours=1) <= after
    assert info.run_at - info.created_at == timedelta(hours=1)


def test_a_job_for_a_moment_is_scheduled_for_it(jobs):
    moment = datetime(2099, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))

    info = jobs.with_options(run_at=moment).enqueue("add").info()

    assert (info.status, info.run_at) == (JobStatus.SCHEDULED, moment)


@pytest.mark.parametrize("options", [{"delay": 0}, {"run_at": datetime(1999, 1, 1, tzinfo=timezone.utc)}])
def test_a_job_that_is_due_already_is_pending(jobs, options):
    assert jobs.with_options(**options).enqueue("add").status() is JobStatus.PENDING


def test_a_scheduled_job_waits_for_its_time_and_then_runs(database):
    settings = settings_of(database, add)
    jobs = SQLiteJob("default", settings)
    later, soon = (jobs.with_options(delay=delay).enqueue("add", 1, 2) for delay in (3600, 0.2))

    assert drain(settings) == 0

    with Worker("default", settings).running_in_background():
        assert soon.result(timeout=20) == 3
    assert later.status() is JobStatus.SCHEDULED


def test_options_of_the_call_go_before_those_of_the_task(database):
    jobs = SQLiteJob("default", settings_of(database, task(add, queue="slow", priority=3)))

    plain = jobs.enqueue(add).info()
    special = jobs.with_options(queue="fast", priority=0).enqueue(add).info()

    assert (plain.queue, plain.priority) == ("slow", 3)
    assert (special.queue, special.priority) == ("fast", 0)


def test_jobs_of_higher_priority_run_first_and_else_the_oldest(database):
    ran = []
    settings = settings_of(database, task(ran.append, name="note"), max_jobs=1)
    jobs = SQLiteJob("default", settings)
    for priority, name in [(0, "third"), (5, "first"), (-1, "last"), (0, "fourth"), (5, "second")]:
        jobs.with_options(priority=priority).enqueue("note", name)

    drain(settings)

    assert ran == ["first", "second", "third", "fourth", "last"]


def test_an_id_of_ones_own_names_one_job_however_often_it_is_enqueued(jobs):
    mine = jobs.with_options(job_id="mine")

    first, second = mine.enqueue("add", 1), mine.enqueue("add", 2)

    assert first == second == "mine"
    assert first.info().arguments == "1"
    assert sum(jobs.counts().values()) == 1


def test_an_id_of_ones_own_still_names_the_job_once_it_has_ended(database):
    settings = settings_of(database, add)
    mine = SQLiteJob("default", settings).with_options(job_id="mine")
    mine.enqueue("add", 1)
    drain(settings)

    again = mine.enqueue("add", 2)

    assert again.status() is JobStatus.COMPLETED
    assert again.result(timeout=0) == 1
    assert drain(settings) == 0


@pytest.mark.parametrize(
    ("options", "error", "mend"),
    [
        ({"job_id": ""}, InvalidNameError, "A job id must not be empty"),
        ({"queue": "a\nb"}, InvalidNameError, "A queue name must not contain control characters"),
        ({"tags": ["a" * 129]}, InvalidNameError, "A tag may have 128 characters"),
        ({"priority": "high"}, InvalidOptionError, "priority is a whole number"),
        ({"delay": -5}, InvalidOptionError, "delay: a duration is from 0 up"),
        ({"run_at": datetime(2030, 1, 1)}, InvalidOptionError, "give an aware datetime"),  # noqa: DTZ001
        ({"delay": 1, "run_at": datetime(2030, 1, 1, tzinfo=timezone.utc)}, InvalidOptionError, "not both"),
        ({"max_tries": 0}, InvalidOptionError, "max_tries is a whole number from 1"),
        ({"tags": "mail"}, InvalidOptionError, "tags is a list of tags, not one text"),
        ({"meta": {"a": object()}}, InvalidOptionError, "meta takes values of JSON only"),
    ],
)
def test_an_option_that_cannot_work_is_refused_at_once(jobs, options, error, mend):
    with pytest.raises(error, match=mend):
        jobs.with_options(**options)


def test_an_unknown_option_is_a_type_error_with_its_name(jobs):
    with pytest.raises(TypeError, match="prioirty"):
        jobs.with_options(prioirty=5)


@pytest.mark.parametrize("meta", [{}, {"a": None}, {"ü": ["😀", 1.5, True]}, {"a": "\ud800"}])
def test_meta_comes_back_as_it_was(jobs, meta):
    assert jobs.with_options(meta=meta).enqueue("add").info().meta == meta


def test_a_job_sees_its_tags_and_meta(database):
    def look():
        job = current_job()
        return job.tags, job.meta, job.queue, job.id

    settings = settings_of(database, look)
    jobs = SQLiteJob("default", settings)
    job = jobs.with_options(tags=["a", "b"], meta={"user": 5}).enqueue("look")

    drain(settings)

    assert job.result(timeout=0) == (("a", "b"), {"user": 5}, "default", job)
