"""Functions that are called with many jobs at once: `task(function, batch=100, within=0.5)`."""

from __future__ import annotations

import threading

import pytest

from sqlite_job import JobFailedError, JobStatus, Limit, Retry, SQLiteJob, Worker, call, task
from tests.doors.making import DEADLINE, nothing, run_all, settings_of, wait_until


class Batches:
    """A batch function that notes what it is called with."""

    def __init__(self, answer=lambda job: job.args[0]):
        self.calls = []
        self.answer = answer

    def work(self, jobs):
        self.calls.append([job.args[0] for job in jobs])
        return [self.answer(job) for job in jobs]

    async def work_async(self, jobs):
        return self.work(jobs)

    def as_task(self, kind="plain", **options):
        return task(self.work if kind == "plain" else self.work_async, name="work", **options)


def enqueue(settings, count):
    return SQLiteJob("default", settings).enqueue_many([call("work", number) for number in range(count)])


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_one_call_gets_many_jobs_and_each_has_its_result(database, kind):
    batches = Batches()
    settings = settings_of(database, batches.as_task(kind, batch=25, within=0.2), max_jobs=2)

    jobs = enqueue(settings, 100)
    run_all(settings, *jobs)

    assert [job.result() for job in jobs] == list(range(100))
    assert [len(one) for one in batches.calls] == [25] * 4


def test_what_does_not_fill_a_batch_is_called_after_the_time(database):
    batches = Batches()
    settings = settings_of(database, batches.as_task(batch=100, within=0.05))

    jobs = enqueue(settings, 3)
    run_all(settings, *jobs)

    assert batches.calls == [[0, 1, 2]]


def test_jobs_that_come_within_the_time_are_called_together(database):
    batches = Batches()
    settings = settings_of(database, batches.as_task(batch=3, within=DEADLINE))
    jobs = SQLiteJob("default", settings)

    with Worker("default", settings).running_in_background():
        found = [jobs.enqueue("work", number) for number in range(3)]
        assert [job.result(DEADLINE) for job in found] == [0, 1, 2]

    assert batches.calls == [[0, 1, 2]]


def test_a_batch_takes_no_slot_from_other_functions(database):
    batches = Batches()
    settings = settings_of(database, nothing, batches.as_task(batch=50, within=DEADLINE), max_jobs=1)
    jobs = SQLiteJob("default", settings)

    with Worker("default", settings).running_in_background():
        waiting = enqueue(settings, 5)
        assert jobs.enqueue(nothing).result(DEADLINE) == "done"
        wait_until(lambda: all(job.status() is JobStatus.RUNNING for job in waiting))

    assert {job.status() for job in waiting} == {JobStatus.PENDING}
    assert {job.info().tries for job in waiting} == {0}


def test_one_job_fails_alone_and_is_tried_again(database):
    seen = []

    def answer(job):
        seen.append((job.args[0], job.job.tries))
        if job.args[0] == 1 and job.job.tries == 1:
            return Retry(0)
        return ValueError("no even numbers") if job.args[0] == 2 else job.args[0]

    settings = settings_of(database, Batches(answer).as_task(batch=10, within=0.05, max_tries=2, retry_on=Retry))

    jobs = enqueue(settings, 4)
    run_all(settings, *jobs)

    assert [jobs[number].result() for number in (0, 1, 3)] == [0, 1, 3]
    with pytest.raises(JobFailedError, match="ValueError: no even numbers"):
        jobs[2].result()
    assert (1, 2) in seen


def test_what_the_call_raises_is_the_failure_of_each(database):
    def fail(jobs):
        raise ConnectionError("no index")

    settings = settings_of(database, task(fail, name="work", batch=10, within=0.05))

    infos = run_all(settings, *enqueue(settings, 3))

    assert {info.error for info in infos} == {"ConnectionError: no index"}


@pytest.mark.parametrize(
    ("value", "error"),
    [([1], "1 results"), ("abc", "'str'"), ({}, "'dict'")],
)
def test_results_that_belong_to_no_job_fail_all_of_them(database, value, error):
    settings = settings_of(database, task(lambda jobs: value, name="work", batch=10, within=0.05))

    infos = run_all(settings, *enqueue(settings, 2))

    assert all(error in info.error for info in infos)


def test_none_is_the_result_of_all(database):
    settings = settings_of(database, task(lambda jobs: None, name="work", batch=10, within=0.05))

    infos = run_all(settings, *enqueue(settings, 2))

    assert [(info.status, info.result) for info in infos] == [(JobStatus.COMPLETED, "None")] * 2


def test_a_cancelled_job_is_not_called(database):
    batches = Batches()
    settings = settings_of(database, batches.as_task(batch=2, within=DEADLINE))
    jobs = SQLiteJob("default", settings)

    with Worker("default", settings).running_in_background():
        first = jobs.enqueue("work", 1)
        wait_until(lambda: first.status() is JobStatus.RUNNING)
        first.cancel()
        wait_until(lambda: first.status() is JobStatus.CANCELLED)
        others = [jobs.enqueue("work", number) for number in (2, 3)]
        assert [job.result(DEADLINE) for job in others] == [2, 3]

    assert batches.calls == [[2, 3]]


def test_a_limit_holds_for_jobs_of_batches(database):
    batches = Batches()
    limited = batches.as_task(batch=10, within=0.05, concurrency=Limit(2))
    settings = settings_of(database, limited)

    run_all(settings, *enqueue(settings, 6))

    assert batches.calls == [[0, 1], [2, 3], [4, 5]]


def test_hooks_are_called_for_each_job(database):
    seen = []
    lock = threading.Lock()

    def note(job):
        with lock:
            seen.append(job.id)

    settings = settings_of(
        database, task(lambda jobs: None, name="work", batch=10, within=0.05), on_job_start=note, on_job_end=note
    )

    jobs = enqueue(settings, 3)
    run_all(settings, *jobs)

    assert sorted(seen) == sorted([*jobs, *jobs])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 1}, "batch is a whole number from 2 to 1,000, not 1"),
        ({"batch": 5_000}, "not 5000"),
        ({"within": 1}, "within is for batches"),
        ({"batch": 10, "within": 0}, "within is more than 0"),
        ({"batch": 10, "timeout": 3}, "timeout does not go with batch"),
        ({"batch": 10, "executor": "process"}, "executor does not go with batch"),
        ({"batch": 10, "capture_logs": True}, "capture_logs does not go with batch"),
    ],
)
def test_options_that_make_no_batch_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        task(nothing, **options)
